"""The build from plan to manifest: what is decided before, between and after the shards.

dataset_plan says which picture goes where, reuse what an earlier build left, publish writes
dataset.json. May import every room below: engines,
shards, sources, augment, storage.
Start reading at builder.py.
"""
