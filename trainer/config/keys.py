"""Every configuration key, as a field of its section: default, unit, meaning, allowed values.

The only place where a key is defined. A part of the trainer takes the section that it reads;
`Config` holds them all. `defaults()` is what a configuration file begins with. The defaults are
those of the `fec_triplet` preset.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from typing import Any, TypeAlias

import ml_collections

from trainer.config.entries import (
    DEVICE_LAYERS,
    OPTIMIZERS,
    backbone_forms,
    device_layers,
    losses_by_task,
)
from trainer.config.key_field import Key, key
from trainer.config.measure_table import described_measures
from trainer.config.task_table import TASKS, meanings_of_tasks

PlainValue: TypeAlias = "bool | int | float | str | list[PlainValue] | None"
Value: TypeAlias = "PlainValue | tuple[str, ...] | tuple[int, ...] | Mapping[str, PlainValue]"

# Upper ends, far above what anybody trains with and below what overflows somewhere inside: seeds
# of numpy are of 32 bits, timers of the system take seconds of a month and more.
MOST_SEED = 2**32 - 1
MOST_EPOCHS = 1_000_000
MOST_STEPS = 1_000_000_000
MOST_ACCUMULATED = 1024  # times the largest batch: rows are numbered by 32 bits
MOST_SECONDS = 2_600_000  # a month
# Fewer calls in a trace give no verdict.
LEAST_TRACED_CALLS = 5
# Keys that are gone, and why their values no longer matter.
IGNORED_KEYS = {
    "profile.port": "`trainer capture RUN` needs no port",
    "profile.host": "`trainer capture RUN` needs no address",
}

OWN = "FILE.py:NAME or MODULE:NAME of your own"
BALANCED = "balanced"  # of loss.class_weights

HUB_HANDLE = (
    "hub:gs://cloud-tpu-checkpoints/efficientnet/v2/hub/efficientnetv2-b0-21k/feature-vector"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network."""

    backbone: str = key(
        default=HUB_HANDLE,
        meaning=backbone_forms(),
    )
    weights: str = key(
        default="",
        meaning="'' = the hub's own or random, imagenet, a weights file, or a RUN, whose head is "
        "taken too where it fits",
    )
    embedding_size: int = key(
        default=128, at_least=1, at_most=1 << 20, meaning="numbers in an embedding (triplets)"
    )
    scale: float = key(
        default=1.0, above=0, at_most=1e6, meaning="length of an embedding (triplets)"
    )
    dropout: float = key(
        default=0.4, at_least=0, below=1, meaning="share of features dropped before the head"
    )
    head_initializer: str = key(
        default="",
        meaning="of the kernel of the head's dense layer, a Keras name such as he_normal; "
        "'' = GlorotUniform",
    )
    head_initializer_args: Mapping[str, PlainValue] = key(
        default={}, meaning="the initializer's own arguments"
    )
    head_l1: float = key(
        default=0.0,
        at_least=0,
        at_most=1e6,
        meaning="times the sum of the kernel's absolute values, added to the training loss",
    )
    head_l2: float = key(
        default=0.0,
        at_least=0,
        at_most=1e6,
        meaning="times the sum of the kernel's squares, likewise; neither is in the loss reported",
    )
    trainable: str = key(
        default="all",
        meaning="all, head (the backbone is frozen), or the name of a layer of the backbone: "
        "it and those after it train",
    )
    pooling: str = key(
        default="avg",
        choices=("avg", "max"),
        meaning="global pooling over the last feature map; a hub handle has its own",
    )
    pixel_range: str = key(
        default="",
        choices=("", "0..255", "0..1", "-1..1", "caffe", "torch"),
        meaning="what the backbone is fed; '' = what its family wants, from a table",
    )
    channels: int = key(
        default=3, at_least=1, at_most=3, meaning="of the pictures: 3 = RGB, 1 = grey"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is minimised."""

    name: str = key(default="", meaning=f"'' = the task's own, {OWN}, or one of {losses_by_task()}")
    args: Mapping[str, PlainValue] = key(default={}, meaning="the loss's further settings")
    class_weights: str | Mapping[str, PlainValue] = key(
        default={},
        words=(BALANCED,),
        meaning="by class name, how much a record counts in the training loss, 1 where a class is "
        f"left out; {BALANCED} = each class as much as any other; empty = each record the same",
    )
    delta: float = key(
        default=0.5,
        at_least=0,
        at_most=1e6,
        meaning="margin of the triplet loss, squared distance; where huber becomes linear",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimizer, and its schedule."""

    name: str = key(
        default="adabound",
        meaning=f"{', '.join(OPTIMIZERS.names())}, or a Keras or tensorflow-addons name",
    )
    learning_rate: float = key(
        default=1e-3, above=0, at_most=1e38, meaning="per step; start of a schedule"
    )
    final_learning_rate: float = key(
        default=0.1,
        above=0,
        at_most=1e6,
        meaning="of AdaBound and AMSBound, towards the end (that of SGD)",
    )
    schedule: str = key(
        default="", meaning="'' = constant, or the name of a Keras schedule, such as CosineDecay"
    )
    schedule_args: Mapping[str, PlainValue] = key(
        default={},
        meaning="the schedule's own arguments; decay_steps left out = the whole run, "
        "warm-up included",
    )
    warmup_steps: int = key(
        default=0,
        at_least=0,
        at_most=MOST_STEPS,
        meaning="first steps of the run, in which the rate rises in a straight line to the "
        "constant one or the schedule's first, whose own steps count from there; 0 = off",
    )
    clip_global_norm: float = key(
        default=0.0,
        at_least=0,
        at_most=1e38,
        meaning="the gradient is scaled down to this norm where its own, over all weights, is "
        "greater; 0 = off",
    )
    clip_norm: float = key(
        default=0.0,
        at_least=0,
        at_most=1e38,
        meaning="the same for the gradient of each weight tensor by itself; 0 = off",
    )
    clip_value: float = key(
        default=0.0,
        at_least=0,
        at_most=1e38,
        meaning="each number of the gradient is kept between minus this and this; 0 = off",
    )
    weight_decay: float = key(
        default=0.0,
        at_least=0,
        at_most=1e6,
        meaning="of all weights but biases and what normalisation scales and shifts by; 0 = none, "
        "or that of optimizer.args, which is of all",
    )
    ema_momentum: float = key(
        default=0.0,
        at_least=0,
        below=1,
        meaning="what an exponential moving average of the weights keeps of itself in a step; the "
        "averages are what is validated, saved and exported; 0 = off",
    )
    accumulate_steps: int = key(
        default=1,
        at_least=1,
        at_most=MOST_ACCUMULATED,
        meaning="steps whose gradients make one update of the weights, like one step of so many "
        "times the batch; schedule and warm-up count updates; 1 = each step",
    )
    args: Mapping[str, PlainValue] = key(default={}, meaning="the optimizer's further arguments")


def _layer_settings() -> Any:
    """A dataclass of the settings of every on-device layer, in the order in which they act."""
    fields = [
        (name, type(facts["default"]), key(**facts))
        for layer in device_layers()
        for name, facts in DEVICE_LAYERS.constant(layer, "SETTINGS").items()
    ]
    return dataclasses.make_dataclass("LayerSettings", fields, frozen=True, kw_only=True)


_LayerSettings: Any = _layer_settings()


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentConfig(_LayerSettings):
    """Light augmentation on the device, in training only; each layer declares its own keys."""

    enabled: bool = key(default=False, meaning="all of this section on or off")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, and how."""

    train_split: str = key(default="train", meaning="the split trained on")
    validation_splits: tuple[str, ...] = key(
        default=("test",),
        meaning="splits measured in a validation; the first one is val_*, the others val_NAME_*",
    )
    variants: int = key(
        default=1,
        at_least=0,
        at_most=10_000,
        meaning="stored variants used; 0 = all, 1 = the picture as it came",
    )
    image_table: str = key(
        default="auto",
        choices=("auto", "decoded", "encoded"),
        meaning="pictures of a pass in memory; auto = for triplets, decoded where they fit; "
        "classes are streamed",
    )
    parallel_reads: int = key(
        default=2,
        at_least=1,
        at_most=1024,
        meaning="batches, or files of a table, read at a time; more for slow or remote storage",
    )
    service: str = key(
        default="", meaning="address of a tf.data service, grpc://HOST:PORT; '' = read here"
    )
    shuffle_megabytes: int = key(
        default=64,
        at_least=1,
        at_most=1 << 20,
        meaning="MB of shards that a pass is shuffled within at a time",
    )
    log_records: bool = key(
        default=False,
        meaning="the records of each step into RUN/records.jsonl, to see what was trained on; slow",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """When the validation splits are measured; always after the last epoch too."""

    every_epochs: int = key(
        default=1, at_least=1, at_most=MOST_EPOCHS, meaning="epochs between two validations"
    )
    every_steps: int = key(
        default=0,
        at_least=0,
        at_most=MOST_STEPS,
        meaning="steps between two validations, also within an epoch; 0 = by epochs",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """What is kept."""

    every_steps: int = key(
        default=0,
        at_least=0,
        at_most=MOST_STEPS,
        meaning="steps between saved states; 0 = at the end of an epoch",
    )
    keep: int = key(
        default=1, at_least=1, at_most=10_000, meaning="newest states kept, the best apart"
    )
    best_metric: str = key(
        default="", meaning="what best, stopping and plateau watch; '' = val_loss, or else loss"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig:
    """When a run ends before its last epoch."""

    patience: int = key(
        default=0,
        at_least=0,
        at_most=MOST_EPOCHS,
        meaning="validations without improvement before stopping (epochs, where a training metric "
        "is watched); 0 = off",
    )
    min_delta: float = key(
        default=0.0,
        at_least=0,
        at_most=1e6,
        meaning="smallest change that counts as an improvement",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlateauConfig:
    """When the learning rate is cut."""

    patience: int = key(
        default=0,
        at_least=0,
        at_most=MOST_EPOCHS,
        meaning="validations without improvement before a cut (epochs, where a training metric is "
        "watched); 0 = off",
    )
    factor: float = key(
        default=0.1, above=0, below=1, meaning="the learning rate is multiplied by it"
    )
    min_learning_rate: float = key(
        default=0.0, at_least=0, at_most=1e6, meaning="the learning rate is not cut below it"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchdogConfig:
    """How long a worker waits, if there are several."""

    seconds: int = key(
        default=600,
        at_least=0,
        at_most=MOST_SECONDS,
        meaning="longest call of a step before a worker ends with 76, five times that for tracing, "
        "saving and the like (with several workers); 0 = off",
    )
    start_seconds: int = key(
        default=300,
        at_least=1,
        at_most=MOST_SECONDS,
        meaning="how long a worker waits at the start for the others",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProfileConfig:
    """Which steps are traced."""

    steps: tuple[int, ...] = key(
        default=(10, 20),
        item=int,
        meaning="first and last step traced, once a run; the default counts calls of "
        "steps_per_execution; empty = no trace",
    )
    on_start: bool = key(
        default=False,
        meaning="trace ten calls of this process once it is warm, at whatever step: --profile",
    )
    workers: str = key(
        default="chief",
        choices=("chief", "all"),
        meaning="whose steps are traced: the first worker's, or those of each one",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorboardConfig:
    """What TensorBoard gets besides the curves."""

    histograms: bool = key(default=True, meaning="weight histograms, an epoch apart")
    graph: bool = key(default=True, meaning="the graph of the model")
    pictures: bool = key(default=True, meaning="the augmented batch and the mistakes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistributeConfig:
    """How replicas exchange gradients."""

    all_reduce: str = key(
        default="auto",
        choices=("auto", "nccl", "hierarchical", "one_device", "ring"),
        meaning="how gradients are summed: nccl, hierarchical (copies between the GPUs of one "
        "machine), one_device, ring (CPUs, or workers where NCCL hangs); auto = nccl on GPUs, "
        "ring on CPUs",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A whole configuration: what is learned, for how long, how, and a section a part."""

    task: str = key(
        default="triplet",
        choices=tuple(TASKS),
        meaning=f"{meanings_of_tasks()}; must match the dataset",
    )
    seed: int = key(
        default=0,
        at_least=0,
        at_most=MOST_SEED,
        meaning="seed of weights, order and every random draw",
    )
    deterministic: bool = key(
        default=False,
        meaning="bit-for-bit repeatable, also through a restart; slower operations on a GPU",
    )
    epochs: int = key(
        default=25,
        at_least=1,
        at_most=MOST_EPOCHS,
        meaning="reporting units of steps_per_epoch steps",
    )
    steps_per_epoch: int = key(
        default=0,
        at_least=0,
        at_most=MOST_STEPS,
        meaning="steps; 0 = one pass through the training split",
    )
    validation_steps: int = key(
        default=0,
        at_least=0,
        at_most=MOST_STEPS,
        meaning="steps per validation split; 0 = the whole split",
    )
    batch_size: int = key(
        default=64,
        at_least=1,
        at_most=1 << 20,
        meaning="triplets or pictures a step, over all replicas together",
    )
    image_size: int = key(
        default=160, at_least=8, at_most=8192, meaning="side in front of the backbone, pixels"
    )
    metrics: tuple[str, ...] = key(
        default=(),
        meaning="further figures of each validation split, in each validation and for "
        f"checkpoint.best_metric: {OWN}, or by name; {described_measures()}",
    )
    virtual_replicas: int = key(
        default=0,
        at_least=0,
        at_most=256,
        meaning="replicas on this machine's CPU; 0 = the real devices",
    )
    precision: str = key(
        default="float32",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        meaning="of the backbone; head, distances and loss are float32 always",
    )
    jit_compile: bool = key(default=False, meaning="XLA for the model; one replica only")
    steps_per_execution: int = key(
        default=1,
        at_least=1,
        at_most=100_000,
        meaning="steps run by one call from Python; more hides its overhead",
    )
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    validation: ValidationConfig = dataclasses.field(default_factory=ValidationConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)
    early_stopping: EarlyStoppingConfig = dataclasses.field(default_factory=EarlyStoppingConfig)
    reduce_on_plateau: PlateauConfig = dataclasses.field(default_factory=PlateauConfig)
    watchdog: WatchdogConfig = dataclasses.field(default_factory=WatchdogConfig)
    profile: ProfileConfig = dataclasses.field(default_factory=ProfileConfig)
    tensorboard: TensorboardConfig = dataclasses.field(default_factory=TensorboardConfig)
    distribute: DistributeConfig = dataclasses.field(default_factory=DistributeConfig)


SECTIONS: dict[str, type] = {
    name: type(value) for name, value in vars(Config()).items() if dataclasses.is_dataclass(value)
}


def _keys(section: type, prefix: str = "") -> dict[str, Key]:
    return {
        f"{prefix}{field.name}": field.metadata["key"]
        for field in dataclasses.fields(section)
        if "key" in field.metadata
    }


KEYS: dict[str, Key] = _keys(Config)
for _name, _section in SECTIONS.items():
    KEYS |= _keys(_section, f"{_name}.")

# A free mapping: its names are the arguments of a class that is only known by its name.
FREE_KEYS = tuple(name for name, entry in KEYS.items() if isinstance(entry.default, dict))


def defaults() -> ml_collections.ConfigDict:
    """Every key at its default, for a configuration file to change: type-safe, and locked against
    keys that do not exist.
    """
    config = ml_collections.ConfigDict()
    for name, entry in KEYS.items():
        section, _, leaf = name.rpartition(".")
        if section and section not in config:
            config[section] = ml_collections.ConfigDict()
        parent = config[section] if section else config
        if entry.words:  # a mapping, or a text in its place
            parent[leaf] = ml_collections.FieldReference(
                ml_collections.ConfigDict(), field_type=object
            )
        else:
            parent[leaf] = ml_collections.ConfigDict() if name in FREE_KEYS else entry.default
    config.lock()
    for section, _, leaf in (name.rpartition(".") for name in FREE_KEYS):
        config[section][leaf].unlock()
    return config


def get(config: Config, name: str) -> Value:
    """The value of a dotted key, such as `optimizer.learning_rate`."""
    value: Value = operator.attrgetter(name)(config)
    return value


def with_values(config: Config, values: Mapping[str, Value]) -> Config:
    """A copy with other values of dotted keys, each of its type; nothing is checked."""
    parts: dict[str, Any] = {}
    sections: dict[str, dict[str, Value]] = {}
    for name, value in values.items():
        section, _, leaf = name.rpartition(".")
        (sections.setdefault(section, {}) if section else parts)[leaf] = value
    for section, fields in sections.items():
        parts[section] = dataclasses.replace(getattr(config, section), **fields)
    return dataclasses.replace(config, **parts)
