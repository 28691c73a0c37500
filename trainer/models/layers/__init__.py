"""Keras layers of ours: what those with random numbers have in common, and those of the heads.

Layers on pictures are in trainer/models/on_device; `warp`, `colour` and `beta` are what several of
them share. Start reading at base.py.
"""

from trainer.models.layers.features import KeyedDropout, L2Normalize, Scale

__all__ = ["KeyedDropout", "L2Normalize", "Scale"]
