"""The rules between configuration keys: what is refused early, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from preprocess.live_format import LIVE_SPLIT
from preprocess.shell.errors import ConfigError
from preprocess.shell.references import is_reference
from trainer.config.bounds import LEAST_TRACED_CALLS
from trainer.config.entries import (
    BACKBONES,
    OWN_BACKBONE,
    backbone_parts,
    check_loss,
    check_pretrained,
)
from trainer.config.keys import KEYS, Config, get
from trainer.config.layer_order import augmentation_conflicts
from trainer.config.learning_sections import OWN, OptimizerConfig
from trainer.config.measure_table import check_measure, column_of
from trainer.config.own_code import is_own, own_name
from trainer.config.parts import part_problems
from trainer.config.running_sections import LIVE, REUSE
from trainer.config.task_table import TASKS, task_kind
from trainer.config.training_stages import stage_problems
from trainer.config.values import coerce

_SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check_config(config: Config) -> None:
    """Checks every value, then the rules between them.

    Raises:
      ConfigError: the first that is wrong: its key, what was received, what to do.
    """
    for name in KEYS:
        coerce(name, get(config, name))
    if config.loss.name and not task_kind(config.task).parts:
        check_loss(config.loss.name, config.task)
    for name in config.metrics:
        check_measure(name, config.task)
    columns = [column_of(name) for name in dict.fromkeys(config.metrics)]
    if twice := next((name for name in columns if columns.count(name) > 1), ""):
        raise ConfigError(f"metrics: two are called {twice}; rename one")
    for problem in _conflicts(config):
        raise ConfigError(problem)


def metric_names(config: Config) -> list[str]:
    """The metrics an epoch has: `loss`, `val_loss`, `val_NAME_accuracy`, `val_f1` and so on."""
    kind = task_kind(config.task)
    usual = ("loss", kind.metric, *kind.part_figures)
    names = list(usual)
    for at, split in enumerate(config.data.validation_splits):
        prefix = "val_" if at == 0 else f"val_{split}_"
        names += [prefix + metric for metric in (*usual, *measured_metrics(config))]
    return names


def measured_metrics(config: Config) -> tuple[str, ...]:
    """The further metrics of a validation split: the task's, and those asked for."""
    return tuple(column_of(name) for name in asked_measures(config))


def asked_measures(config: Config) -> tuple[str, ...]:
    """They as they are written: names, or references of the user's own."""
    return tuple(dict.fromkeys((*task_kind(config.task).metrics, *config.metrics)))


def _conflicts(config: Config) -> Iterator[str]:
    yield from _execution(config)
    yield from _model(config)
    yield from _own_parts(config)
    yield from part_problems(config)
    yield from _loss(config)
    yield from _optimizer(config)
    yield from stage_problems(config)
    yield from augmentation_conflicts(config)
    yield from _splits(config)
    yield from _live(config)
    yield from _profile(config)


def _execution(config: Config) -> Iterator[str]:
    replicas = config.virtual_replicas
    if config.jit_compile and replicas >= 2:
        yield (
            f"jit_compile with virtual_replicas {replicas}: XLA is for one replica; "
            "leave out one of the two"
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


def _live(config: Config) -> Iterator[str]:
    data = config.data
    if data.on_late == REUSE and not data.live:
        yield f"data.on_late={REUSE}: only with data.variants={LIVE}; leave it out"
    if data.on_late == REUSE and config.deterministic:
        yield (
            f"data.on_late={REUSE} with deterministic: which variants are late is chance; leave "
            "out one of the two"
        )
    if data.live and data.train_split != LIVE_SPLIT:
        yield (
            f"data.variants={LIVE} with data.train_split={data.train_split}: only "
            f"'{LIVE_SPLIT}' has variants"
        )


def _model(config: Config) -> Iterator[str]:
    model = config.model
    name, _ = backbone_parts(model.backbone)
    check_pretrained(name, model.weights)
    if model.channels == 2:
        yield "model.channels: received 2, takes 3 (RGB) or 1 (grey)"
    repeats_grey = name != OWN_BACKBONE and BACKBONES.constant(name, "REPEATS_GREY", False)
    if model.pixel_range in ("caffe", "torch") and model.channels != 3 and not repeats_grey:
        yield (
            f"model.pixel_range {model.pixel_range} has means of red, green and blue, "
            f"model.channels is {model.channels}: take 0..1"
        )

    if model.head_initializer_args and not model.head_initializer:
        yield (
            f"model.head_initializer_args {dict(model.head_initializer_args)} without "
            "model.head_initializer: name the initializer, such as RandomNormal"
        )


def _own_parts(config: Config) -> Iterator[str]:
    model, augment = config.model, config.augment
    for key, value in (
        ("model.head", model.head),
        *(("augment.layers", n) for n in augment.layers),
        *(("callbacks", n) for n in config.callbacks),
    ):
        if value and not is_reference(value):
            yield f"{key}: received {value!r}, takes {OWN}"
    for key, named in (("augment.layers", augment.layers), ("callbacks", config.callbacks)):
        names = [own_name(key, each) for each in named]
        if len(set(names)) < len(names):
            words = ", ".join(names)
            yield f"{key}: {words}: names must differ, as random numbers and states belong to them"
    for key, given, user in (
        ("model.backbone_args", model.backbone_args, is_own("model.backbone", model.backbone)),
        ("model.head_args", model.head_args, model.head),
    ):
        if given and not user:
            yield f"{key} {dict(given)}: only a {key[6:-5]} of your own takes some"
    for key in ("head_initializer", "head_l1", "head_l2"):
        if model.head and getattr(model, key):
            yield (
                f"model.{key} {getattr(model, key)}: not applied to a head of your own; set it in "
                f"{model.head}"
            )


def _loss(config: Config) -> Iterator[str]:
    weights = config.loss.class_weights
    if not weights:
        return
    if not task_kind(config.task).class_weights:
        having = ", ".join(name for name, kind in TASKS.items() if kind.class_weights)
        yield f"loss.class_weights with task {config.task}: only supported for {having}"
        return
    for name, weight in weights.items() if isinstance(weights, Mapping) else ():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or weight < 0:
            yield f"loss.class_weights.{name}: received {weight!r}, takes a number of at least 0"


def _optimizer(config: Config) -> Iterator[str]:
    optimizer = config.optimizer
    if not optimizer.name:
        yield "optimizer.name is empty: take adabound, adam, or another by name"
    if len(optimizer.schedule_args) and not optimizer.schedule:
        yield (
            f"optimizer.schedule_args {dict(optimizer.schedule_args)} without "
            "optimizer.schedule: name the schedule, such as CosineDecay"
        )
    if optimizer.schedule and config.reduce_on_plateau.patience:
        yield (
            f"reduce_on_plateau.patience {config.reduce_on_plateau.patience} and "
            f"optimizer.schedule {optimizer.schedule} would both set the learning rate: keep one "
            "of them"
        )
    if optimizer.weight_decay and optimizer.args.get("weight_decay") is not None:
        yield (
            f"optimizer.weight_decay {optimizer.weight_decay:g} and optimizer.args.weight_decay: "
            "the former leaves out biases and normalisation, keep one of them"
        )
    theirs = [name for name in ("use_ema", "ema_momentum") if name in optimizer.args]
    if optimizer.ema_momentum and theirs:
        yield (
            f"optimizer.ema_momentum {optimizer.ema_momentum:g} and optimizer.args.{theirs[0]} "
            "both average the weights: keep one of them"
        )
    yield from _warm_up(config)
    yield from _clipping(optimizer)


def _warm_up(config: Config) -> Iterator[str]:
    optimizer = config.optimizer
    if not optimizer.warmup_steps:
        return
    given = f"optimizer.warmup_steps {optimizer.warmup_steps}"
    if "warmup_steps" in optimizer.schedule_args:
        yield f"{given} and optimizer.schedule_args.warmup_steps both warm up: keep one of them"
    if config.reduce_on_plateau.patience:
        yield (
            f"reduce_on_plateau.patience {config.reduce_on_plateau.patience} and {given} would "
            "both set the learning rate: keep one of them"
        )


def _clipping(optimizer: OptimizerConfig) -> Iterator[str]:
    names = ("clip_global_norm", "clip_norm", "clip_value")
    given = [f"optimizer.{name} {getattr(optimizer, name):g}" for name in names]
    given = [text for name, text in zip(names, given, strict=True) if getattr(optimizer, name)]
    keras = ("global_clipnorm", "clipnorm", "clipvalue")
    theirs = [f"optimizer.args.{name}" for name in keras if optimizer.args.get(name) is not None]
    if given and len(given) + len(theirs) > 1:
        yield f"{' and '.join([*given, *theirs])} each clip the gradient: keep one of them"


def _splits(config: Config) -> Iterator[str]:
    splits = config.data.validation_splits
    for name, split in [
        ("data.train_split", config.data.train_split),
        *(("data.validation_splits", split) for split in splits),
    ]:
        if not _SPLIT_NAME.fullmatch(split):
            yield (
                f"{name}: received {split!r}, takes split names of letters, digits, '_', '-' and "
                "'.'"
            )
    if len(set(splits)) < len(splits):
        yield f"data.validation_splits: received {', '.join(splits)}, each one counts once"
    yield from _validation(config)
    watched = config.checkpoint.best_metric
    if watched and watched not in metric_names(config):
        yield (
            f"checkpoint.best_metric: received {watched!r}, this configuration has "
            + ", ".join(metric_names(config))
        )


def _validation(config: Config) -> Iterator[str]:
    epochs, steps = config.validation.every_epochs, config.validation.every_steps
    if epochs > 1 and steps:
        yield (
            f"validation.every_epochs {epochs} and validation.every_steps {steps} both say when "
            "to validate: keep one of them"
        )
    if (epochs > 1 or steps) and not config.data.validation_splits:
        name, value = ("every_steps", steps) if steps else ("every_epochs", epochs)
        yield (
            f"validation.{name} {value} without data.validation_splits: nothing is validated; "
            "leave out the former"
        )


def _profile(config: Config) -> Iterator[str]:
    steps = config.profile.steps
    if not steps or steps == KEYS["profile.steps"].default:  # which counts calls
        return
    least = LEAST_TRACED_CALLS * config.steps_per_execution
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
