"""One module for each command of `python -m launch`: its flags, its help (the docstring), `main`.

Imports everything below; no other room imports them. What several commands share is here, too.
Start reading at train.py.
"""
