"""The build from plan to manifest: everything before, between and after building the shards.

dataset_plan.py assigns pictures to shards, reuse.py finds what an earlier build left, publish.py
writes dataset.json. Imports engines, shards, sources, augment and storage.
Start reading at builder.py.
"""
