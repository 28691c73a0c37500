"""The values of --backend: one file each, with its description and the checks of its flags.

To add one: a file here with a KIND, and the class that it names, in the same file or another one
(docs/extending.md). Specifications are checked with it, so of launch it imports launch/ports.py
alone. Start reading at kind.py.
"""
