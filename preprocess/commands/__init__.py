"""A module a command: its flags, its help (the docstring) and `main(arguments)`.

Imports every room; no other room imports them. What several commands share is here, too.
Start reading at build.py.
"""
