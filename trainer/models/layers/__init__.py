"""Keras layers of ours: what those with random numbers have in common, and those of the heads.

Layers on pictures are in trainer/models/on_device; warp.py, colour.py and beta.py are what several
of them share. Imports compat and the room above. Start reading at base.py.
"""

from trainer.models.layers.features import KeyedDropout, L2Normalize, Scale

__all__ = ["KeyedDropout", "L2Normalize", "Scale"]
