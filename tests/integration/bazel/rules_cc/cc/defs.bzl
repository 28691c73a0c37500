"""Stands in for rules_cc: old Bazels ask for it wherever a Python program is built."""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
cc_test = native.cc_test
