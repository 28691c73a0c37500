"""Every configuration key: `Config` holds those that are in no section, and the sections.

A key is a field of its section (learning_sections.py, running_sections.py) with default, unit,
meaning and allowed values, and is defined nowhere else. A part of the trainer takes the section
that it reads. `defaults()` is what a configuration file begins with. The defaults are those of the
`fec_triplet` preset.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from typing import Any

import ml_collections

from trainer.config.bounds import MOST_EPOCHS, MOST_SEED, MOST_STEPS
from trainer.config.key_field import Key, PlainMapping, Value, key
from trainer.config.learning_sections import (
    OWN,
    AugmentConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
)
from trainer.config.measure_table import described_measures
from trainer.config.running_sections import (
    CheckpointConfig,
    DataConfig,
    DebugConfig,
    DistributeConfig,
    EarlyStoppingConfig,
    PlateauConfig,
    ProfileConfig,
    TensorboardConfig,
    ValidationConfig,
    WatchdogConfig,
)
from trainer.config.task_table import TASKS, meanings_of_tasks

# Keys that are gone, and why their values no longer matter.
IGNORED_KEYS = {
    "profile.port": "`trainer capture RUN` needs no port",
    "profile.host": "`trainer capture RUN` needs no address",
    "data.service": "the training reads the same batches itself",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A whole configuration: what is learned, for how long, how, and a section a part."""

    task: str = key(
        default="triplet",
        choices=tuple(TASKS),
        own=True,
        meaning=f"{meanings_of_tasks()}, or {OWN}; must match the dataset",
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
    stages: tuple[PlainMapping, ...] = key(
        default=(),
        item=dict,
        meaning="what trains, one stage after the other: mappings of epochs (the last one's may be "
        "left out), trainable and learning_rate, by default those of model and optimizer; each "
        "begins with a new optimizer, schedule and warm-up; empty = a single one",
    )
    metrics: tuple[str, ...] = key(
        default=(),
        meaning="further figures of each validation split, in each validation and for "
        f"checkpoint.best_metric: {OWN}, or by name; {described_measures()}",
    )
    callbacks: tuple[str, ...] = key(
        default=(),
        meaning=f"called by the hooks of Keras's callbacks, on every worker: {OWN}",
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
    debug: DebugConfig = dataclasses.field(default_factory=DebugConfig)


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
        if entry.words:  # a mapping or an integer, or a text in its place
            value = ml_collections.ConfigDict() if name in FREE_KEYS else entry.default
            parent[leaf] = ml_collections.FieldReference(value, field_type=object)
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
