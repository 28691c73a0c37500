"""Stands in for rules_java: old Bazels look at Java's toolchains for every program."""

java_binary = native.java_binary
java_import = native.java_import
java_library = native.java_library
java_runtime = native.java_runtime
java_toolchain = native.java_toolchain
