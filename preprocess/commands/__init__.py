"""A module a command: its flags, its help (the docstring) and `main(arguments)`."""
