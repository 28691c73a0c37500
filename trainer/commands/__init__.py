"""One module a command of `python -m trainer`; heavy imports stay inside functions."""
