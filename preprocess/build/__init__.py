"""The build from plan to manifest: everything before, between and after building the shards.

dataset_plan assigns pictures to shards, reuse finds what an earlier build left, publish writes
dataset.json. May import every room below: engines, shards, sources, augment, storage.
Start reading at builder.py.
"""
