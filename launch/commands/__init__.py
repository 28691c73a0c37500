"""A module a command of `python -m launch`."""
