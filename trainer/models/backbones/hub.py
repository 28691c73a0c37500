"""A module of TF-Hub, or a SavedModel on disk, that turns pictures into feature vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.models.hub import HubFeatures
from trainer.models.wanted import Wanted

if TYPE_CHECKING:
    import tensorflow as tf

FORM = "hub:HANDLE_OR_PATH"
REPEATS_GREY = True
# The EfficientNetV2 checkpoints under .../efficientnet/v2/hub; other hub modules follow the common
# image convention of TF-Hub, 0 to 1.
HUB_EFFICIENTNET_V2 = ("efficientnet/v2", "-1..1")
HUB_DEFAULT = "0..1"


def build(wanted: Wanted) -> tf.Tensor:
    """Features of the module, which has its own pooling and weights."""
    return HubFeatures(wanted.which, name="module")(wanted.pixels(hub_range(wanted.which), 3))


def hub_range(handle: str) -> str:
    """The key of RANGES for a hub handle or path."""
    part, wanted = HUB_EFFICIENTNET_V2
    return wanted if part in handle else HUB_DEFAULT
