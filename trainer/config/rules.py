"""The rules between configuration keys: what is refused early, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import ml_collections

from trainer.capture import LEAST_CALLS
from trainer.config.keys import KEYS, get
from trainer.config.values import coerce
from trainer.errors import ConfigError

_SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SERVICE = re.compile(r"grpc://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_BACKBONE = re.compile(r"cnn|mlp|(keras|hub):.+", re.DOTALL)


def check_config(config: ml_collections.ConfigDict) -> None:
    """Checks every value, then the rules between them.

    Raises:
      ConfigError: the first that is wrong: its key, what was received, what to do.
    """
    for name in KEYS:
        coerce(name, get(config, name))
    for problem in _conflicts(config):
        raise ConfigError(problem)


def metric_names(config: Mapping) -> list[str]:
    """The metrics an epoch has: `loss`, `val_loss`, `val_NAME_accuracy` and so on."""
    accuracy = "triplet_accuracy" if config["task"] == "triplet" else "accuracy"
    prefixes = [""]
    for at, split in enumerate(config["data"]["validation_splits"]):
        prefixes.append("val_" if at == 0 else f"val_{split}_")
    return [prefix + metric for prefix in prefixes for metric in ("loss", accuracy)]


def _conflicts(config: ml_collections.ConfigDict) -> Iterator[str]:
    yield from _execution(config)
    yield from _model(config)
    yield from _optimizer(config)
    yield from _augmentation(config.augment)
    yield from _splits(config)
    yield from _service(config)
    yield from _profile(config)


def _execution(config: ml_collections.ConfigDict) -> Iterator[str]:
    replicas = config.virtual_replicas
    if config.jit_compile and replicas >= 2:
        yield (
            f"jit_compile with virtual_replicas {replicas}: XLA fails with two or more replicas "
            "in TensorFlow 2.15.1; leave out one of the two"
        )
    if replicas and config.batch_size % replicas:
        near = max(replicas, config.batch_size // replicas * replicas)
        yield (
            f"batch_size {config.batch_size} cannot be divided by virtual_replicas {replicas}: "
            f"take {near} or {near + replicas}"
        )
    if 0 < config.steps_per_epoch < config.steps_per_execution:
        yield (
            f"steps_per_execution {config.steps_per_execution} is more than "
            f"steps_per_epoch {config.steps_per_epoch}: lower the former"
        )


def _model(config: ml_collections.ConfigDict) -> Iterator[str]:
    model = config.model
    if not _BACKBONE.fullmatch(model.backbone):
        yield (
            f"model.backbone: received {model.backbone!r}, takes hub:HANDLE_OR_PATH, "
            "keras:NAME (such as keras:EfficientNetV2B0), cnn or mlp"
        )
    if model.channels == 2:
        yield "model.channels: received 2, takes 3 (RGB) or 1 (grey)"
    if model.weights == "imagenet" and not model.backbone.startswith("keras:"):
        yield (
            f"model.weights imagenet exist for keras: backbones only, not for {model.backbone}: "
            "set model.weights=''"
        )
    repeats_grey = model.backbone.startswith(("keras:", "hub:"))
    if model.pixel_range in ("caffe", "torch") and model.channels != 3 and not repeats_grey:
        yield (
            f"model.pixel_range {model.pixel_range} has means of red, green and blue, "
            f"model.channels is {model.channels}: take 0..1"
        )


def _optimizer(config: ml_collections.ConfigDict) -> Iterator[str]:
    optimizer = config.optimizer
    if not optimizer.name:
        yield "optimizer.name is empty: take adabound, adam, or another by name"
    if len(optimizer.schedule_args) and not optimizer.schedule:
        yield (
            f"optimizer.schedule_args {optimizer.schedule_args.to_dict()} without "
            "optimizer.schedule: name the schedule, such as CosineDecay"
        )
    if optimizer.schedule and config.reduce_on_plateau.patience:
        yield (
            f"reduce_on_plateau.patience {config.reduce_on_plateau.patience} and "
            f"optimizer.schedule {optimizer.schedule} would both set the learning rate: "
            "keep one of them"
        )


def _augmentation(augment: ml_collections.ConfigDict) -> Iterator[str]:
    if augment.resize_to and augment.crop > augment.resize_to:
        yield (
            f"augment.crop {augment.crop} is larger than augment.resize_to {augment.resize_to}: "
            "a crop comes out of the resized picture"
        )
    side = augment.crop or augment.resize_to
    if side and augment.cutout > side:
        yield f"augment.cutout {augment.cutout} is larger than the picture at that point, {side}"
    if augment.cutout_implementation == "addons" and augment.cutout % 2:
        yield (
            f"augment.cutout {augment.cutout} with the addons implementation, which takes "
            f"even sides only: take {augment.cutout + 1}"
        )


def _splits(config: ml_collections.ConfigDict) -> Iterator[str]:
    splits = config.data.validation_splits
    for name, split in [
        ("data.train_split", config.data.train_split),
        *(("data.validation_splits", split) for split in splits),
    ]:
        if not _SPLIT_NAME.fullmatch(split):
            yield (
                f"{name}: received {split!r}, takes split names of letters, digits, "
                "'_', '-' and '.'"
            )
    if len(set(splits)) < len(splits):
        yield f"data.validation_splits: received {', '.join(splits)}, each one counts once"
    watched = config.checkpoint.best_metric
    if watched and watched not in metric_names(config):
        yield (
            f"checkpoint.best_metric: received {watched!r}, this configuration has "
            + ", ".join(metric_names(config))
        )


def _service(config: ml_collections.ConfigDict) -> Iterator[str]:
    address = config.data.service
    if not address:
        return
    form = _SERVICE.fullmatch(address)
    if not form or not 0 < int(form[2]) < 65_536:
        yield f"data.service: received {address!r}, takes grpc://HOST:PORT of a dispatcher"
    elif config.task == "triplet":
        yield (
            f"data.service {address} is for classification: triplets decode each picture once a "
            "pass into a table of their own memory, which a service would send nine times; "
            "leave data.service out"
        )
    elif config.data.image_table != "auto":
        yield (
            f"data.image_table {config.data.image_table} with data.service {address}: a table is "
            "filled by the training process itself; leave out one of the two"
        )
    elif config.deterministic:
        yield (
            f"data.service {address} with deterministic: other machines may decode to other "
            "bits; leave out one of the two"
        )


def _profile(config: ml_collections.ConfigDict) -> Iterator[str]:
    steps = config.profile.steps
    if not config.profile.host:
        yield "profile.host is empty, which would listen everywhere: take localhost, or 0.0.0.0"
    if not steps or steps == KEYS["profile.steps"].default:  # which counts calls
        return
    least = LEAST_CALLS * config.steps_per_execution
    if len(steps) != 2 or steps[0] < 1 or steps[1] < steps[0]:
        yield (
            f"profile.steps: received {steps}, takes the first and the last step traced, "
            "counted from 1, such as 10,20; empty for no trace"
        )
    elif steps[1] - steps[0] + 1 < least:
        yield (
            f"profile.steps {steps[0]},{steps[1]} is too short for a verdict: with "
            f"steps_per_execution {config.steps_per_execution} trace {least} steps or more"
        )
