"""What there is to choose for --backend: a file each, with its description and its flags' checks.

To add one: a file here with a KIND, and the class that it names, in the same file or its own
(docs/extending.md). Specifications are checked by it, so nothing here imports them at the top.
"""
