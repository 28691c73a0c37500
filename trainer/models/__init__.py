"""Models: backbones, the range of pixels they want (pixels.py), heads, layers, first weights.

A backbone is a file of backbones/, an on-device layer one of on_device/, a way of mixing two
pictures one of mixing/. Everything takes pixels 0 to 255 and is built from the configuration alone.
Networks are fetched by `keras:` with ImageNet weights and by `hub:` only. Importing this package
makes the layers of a saved model known to Keras. Imports config, compat, optimizers and
report; nothing here reads data. Start reading at build_model.py.
"""

from trainer.models import heads, hub
from trainer.models.build_backbone import backbone
from trainer.models.build_model import build_model

__all__ = ["backbone", "build_model", "heads", "hub"]
