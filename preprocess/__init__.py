"""CSV and image folders -> dataset directory.

`sources/` reads tables and folders, `plan.py` turns their rows into shard specifications,
`shards.py` builds one shard (a plain function), `pipeline.py` is the thin Beam shell around
it, `build.py` puts them in order and writes the manifest; `workspace.py` keeps what is finished,
`reuse.py` decides what of it still holds, `progress.py` and `stages.py` say how far it is and
where the time goes. `augment/` holds the recipes and
their operations, `commands/` a module a command. Nothing here imports `trainer`, `launch` or
TensorFlow.
"""
