"""Looking at a finished dataset: verify, diff, contact sheets, TFDS metadata.

Reads a dataset directory through shards.reading; repairs nothing.
Start reading at verify.py.
"""
