"""Models: backbones (`backbones`, `small`), the range of pixels they want (`pixels`), heads.

Everything takes pixels 0 to 255 and is built from the configuration alone; nothing here reads
data. Networks may be fetched by `keras:` with ImageNet weights and by `hub:`, nowhere else.
"""

from trainer.models.backbones import backbone
from trainer.models.build import build_model

__all__ = ["backbone", "build_model"]
