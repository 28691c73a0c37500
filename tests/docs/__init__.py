"""Tests of README.md and docs/, the tables in them that are made from the code, and the site.

`python -m tests.docs.generate` writes the tables anew, `make docs` builds the site (`mkdocs.yml`,
`site_hooks.py`). `blocks.py` finds fenced blocks and says which test runs them.
"""
