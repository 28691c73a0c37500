"""The tables of what a configuration can name, and what it has to know of their entries.

Nothing here imports an entry: checking a configuration does not import TensorFlow.
"""

from __future__ import annotations

from preprocess.shell.entries import Entries
from preprocess.shell.errors import ConfigError
from preprocess.shell.references import is_reference
from trainer.config.task_table import records_of

BACKBONES = Entries("backbone", "trainer.models.backbones")
LOSSES = Entries("loss", "trainer.losses", "arithmetic", "build_loss")
OPTIMIZERS = Entries(
    "optimizer",
    "trainer.optimizers",
    "accumulation",
    "averages",
    "build_optimizer",
    "by_name",
    "clipping",
    "current_rate",
    "gradient_norms",
    "schedules",
    "warm_up",
    "weight_decay",
)
OWN_BACKBONE = ""  # the entry of a user's own
DEVICE_LAYERS = Entries("on-device layer", "trainer.models.on_device")
MIXERS = Entries("way of mixing", "trainer.models.mixing")


def device_layers() -> list[str]:
    """Every on-device layer, in the order in which they act."""
    return sorted(DEVICE_LAYERS.names(), key=lambda name: DEVICE_LAYERS.constant(name, "ORDER"))


def losses_by_task() -> str:
    """Every loss, with the task that it is for."""
    return ", ".join(f"{name} ({LOSSES.constant(name, 'TASK')})" for name in LOSSES.names())


def check_loss(name: str, task: str, key: str = "loss.name") -> None:
    """Raises ConfigError if there is no such loss, or where it is for another task; the user's
    own are not looked at.
    """
    if is_reference(name):
        return
    LOSSES.check(name, key)
    its_task = LOSSES.constant(name, "TASK")
    if its_task != records_of(task):
        raise ConfigError(
            f"{key}={name} is for task={its_task}, not for {task}; there are " + losses_by_task()
        )


def backbone_forms() -> str:
    """How each backbone is written in `model.backbone`."""
    *most, last = (BACKBONES.constant(name, "FORM") for name in BACKBONES.names())
    return f"{', '.join(most)} or {last}"


def backbone_parts(backbone: str) -> tuple[str, str]:
    """The entry of a `model.backbone`, and what follows its colon ('' where it has none);
    OWN_BACKBONE and the whole of a reference.

    Raises:
      ConfigError: it is none of the forms there are.
    """
    name, colon, which = backbone.partition(":")
    if name in BACKBONES.names():
        takes_more = ":" in BACKBONES.constant(name, "FORM")
        if takes_more == bool(which) == bool(colon):
            return name, which
    elif is_reference(backbone):
        return OWN_BACKBONE, backbone
    raise ConfigError(
        f"model.backbone: received {backbone!r}, takes {backbone_forms()}, or FILE.py:NAME"
    )


def is_pretrained(weights: str) -> bool:
    """Whether `model.weights` are known by this name, for some backbone."""
    return any(weights in BACKBONES.constant(name, "WEIGHTS", ()) for name in BACKBONES.names())


def check_pretrained(name: str, weights: str) -> None:
    """Raises ConfigError if a backbone does not have the `weights` that are known by name."""
    having = {each: BACKBONES.constant(each, "WEIGHTS", ()) for each in BACKBONES.names()}
    if weights not in having.get(name, ()) and any(weights in known for known in having.values()):
        others = ", ".join(f"{each}:" for each, known in having.items() if weights in known)
        kind = name or "your own"
        raise ConfigError(
            f"model.weights {weights} exist for {others} backbones only, not for {kind}: "
            "set model.weights=''"
        )
