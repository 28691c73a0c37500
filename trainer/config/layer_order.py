"""Which on-device layers are on, and the order in which they act."""

from __future__ import annotations

from collections.abc import Iterator

from preprocess.shell.errors import ConfigError
from trainer.config.entries import DEVICE_LAYERS, MIXERS, device_layers
from trainer.config.keys import Config
from trainer.config.learning_sections import AugmentConfig
from trainer.config.task_table import TASKS, task_kind


def layers_in_order(augment: AugmentConfig) -> list[str]:
    """The names of all on-device layers that may be on, in the order in which they act."""
    return list(augment.order) or device_layers()


def layers_on(augment: AugmentConfig) -> list[str]:
    """Those that are on: the first of a layer's settings switches it."""
    return [name for name in device_layers() if getattr(augment, _switch(name))]


def augmentation_conflicts(config: Config) -> Iterator[str]:
    """What is wrong between the keys of `augment`, and with other keys."""
    augment = config.augment
    yield from _order(augment)
    yield from _sizes(augment)
    if augment.erasing_smallest > augment.erasing_largest:
        yield (
            f"augment.erasing_smallest {augment.erasing_smallest:g} is more than "
            f"augment.erasing_largest {augment.erasing_largest:g}"
        )
    if not augment.enabled:
        return
    if config.model.channels == 1:
        for name in layers_on(augment):
            if DEVICE_LAYERS.constant(name, "COLOURS", False):
                yield f"augment.{name} changes colours, but model.channels is 1: set it to 0"
    yield from _mixing(config)


def _order(augment: AugmentConfig) -> Iterator[str]:
    order = augment.order
    if not order:
        return
    for name in order:
        if name in MIXERS.names():
            yield f"augment.order: {name} acts after all layers; leave it out of the order"
            return
        try:
            DEVICE_LAYERS.check(name, "augment.order")
        except ConfigError as error:
            yield str(error)
            return
    if len(set(order)) < len(order):
        yield f"augment.order: received {', '.join(order)}, each layer acts once"
    if missing := [name for name in layers_on(augment) if name not in order]:
        yield (
            f"augment.order {', '.join(order)} leaves out {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} on: add it, or switch it off"
        )


def _sizes(augment: AugmentConfig) -> Iterator[str]:
    side, since = 0, ""  # of the pictures at that point; 0 = as they are stored
    for name in layers_in_order(augment):
        if name == "resize" and augment.resize_to:
            side, since = augment.resize_to, "augment.resize_to"
        elif name == "crop" and augment.crop:
            if side and augment.crop > side:
                yield (
                    f"augment.crop {augment.crop} is larger than {since} {side}: "
                    "a crop comes out of the resized picture"
                )
            side, since = augment.crop, "augment.crop"
        elif name == "cutout" and side and augment.cutout > side:
            yield (
                f"augment.cutout {augment.cutout} is larger than the picture at that point, {side}"
            )


def _mixing(config: Config) -> Iterator[str]:
    augment = config.augment
    used = [name for name in MIXERS.names() if getattr(augment, name)]
    if not used:
        return
    given = f"augment.{used[0]} {getattr(augment, used[0]):g}"
    if not task_kind(config.task).mixes:
        others = ", ".join(name for name, kind in TASKS.items() if kind.mixes)
        yield f"{given} with task {config.task}: mixes labels, for {others} only"
    step = 2 * max(1, config.virtual_replicas)
    if config.batch_size % step:
        near = max(1, config.batch_size // step) * step
        yield (
            f"{given} pairs the rows of each replica, but batch_size is {config.batch_size}: take "
            f"{near} or {near + step}"
        )


def _switch(layer: str) -> str:
    return next(iter(DEVICE_LAYERS.constant(layer, "SETTINGS")))
