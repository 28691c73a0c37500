"""CSV and image folders -> dataset directory.

`sources/` finds pictures, labels and votes in what people have, `build/` plans the shards, decides
what of an earlier build still holds, and writes the manifest; `engines/` runs `shards/`, where one
shard is built by a plain function, on Beam. `pictures/` decodes within limits, `augment/` holds the
recipes and their operations, `storage/` local folders and gs://, `download/` fetches what a table
of URLs names, `examine/` and `synth/` what their commands do, `shell/` what all commands share.
Nothing here imports `trainer`, `launch` or
TensorFlow.
"""
