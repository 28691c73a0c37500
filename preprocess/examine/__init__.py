"""Looking at a finished dataset: verify, diff, contact sheets.

Reads a dataset directory by shards.reading; repairs nothing. Imports build, shards, augment and
storage. Start reading at verify.py.
"""
