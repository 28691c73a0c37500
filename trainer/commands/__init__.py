"""One module a command of `python -m trainer`: its flags, its help (the docstring), `main`.

Imports every room, inside functions where that is heavy; no other room imports them. What several
commands share is here, too. Start reading at train.py.
"""
