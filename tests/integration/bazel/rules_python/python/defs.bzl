"""Stands in for rules_python where it cannot be fetched: the rules that old Bazels have built in."""

py_binary = native.py_binary
py_library = native.py_library
py_test = native.py_test
