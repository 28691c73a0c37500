"""On-device layers of pictures, a file each: `SETTINGS`, `ORDER` and `build`.

SETTINGS are keys of the section `augment` (trainer/config/key_field.py), read from the source as
plain values; ORDER says where among the others a layer acts; `build(augment)` gives the layer, or
None if it is off. Pictures are [N, H, W, C], 0 to 255, in float32 and in whole batches. Random
numbers come from KeyedLayer.draw only, so that replicas and restarts agree; a layer's name keys
them and must never change. Imports config, compat and layers. Start reading at flip.py.
"""
