"""Keras layers of ours: on-device augmentation of pictures, and what heads are made of.

Pictures are [N, H, W, C], 0 to 255, worked on in float32 and in whole batches. Random numbers
come from `trainer.randomness` only, so that replicas and restarts agree. Nothing here reads
configuration files or data.
"""

from trainer.layers.augmentation import Augmentation, build_augmentation
from trainer.layers.colour import RandomBrightness, RandomContrast
from trainer.layers.cutout import Cutout, TfaCutout
from trainer.layers.features import KeyedDropout, L2Normalize, Scale
from trainer.layers.geometry import RandomCrop, RandomFlip, RandomRotation, Resize

__all__ = [
    "Augmentation",
    "Cutout",
    "KeyedDropout",
    "L2Normalize",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "Resize",
    "Scale",
    "TfaCutout",
    "build_augmentation",
]
