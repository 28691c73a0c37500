"""Every configuration key: its default, unit, meaning and the values it may take.

This table is the only place where a key is defined. `defaults()` makes the configuration
from it, `trainer/config.py` loads and overrides against it. The defaults are those
of the `fec_triplet` preset.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import ml_collections

HUB_HANDLE = (
    "hub:gs://cloud-tpu-checkpoints/efficientnet/v2/hub/efficientnetv2-b0-21k/feature-vector"
)

_KINDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    dict: "a mapping of names to plain values",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Key:
    """One key. The type of `default` is the type of the key; bounds are inclusive but `above`.

    `item` is the type of a tuple's items, `below` an exclusive upper bound.
    """

    default: Any
    meaning: str
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    item: type = str

    @property
    def allowed(self) -> str:
        """What the key takes, in words, for an error message."""
        if self.choices:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        if isinstance(self.default, tuple):
            words = {int: "integers", str: "names"}[self.item]
            return f"a list of {words}, comma-separated on the command line"
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (
                ("of at least", self.at_least),
                ("above", self.above),
                ("of at most", self.at_most),
                ("below", self.below),
            )
            if bound is not None
        ]
        kind = ("a finite number" if isinstance(self.default, float) else "") or _KINDS[
            type(self.default)
        ]
        return " ".join([kind, " and ".join(bounds)]).strip()

    def within_bounds(self, value: float) -> bool:
        """Whether a number is finite and inside the key's bounds."""
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


KEYS: dict[str, Key] = {
    # What is learned, for how long.
    "task": Key(
        default="triplet",
        choices=("triplet", "classification"),
        meaning="odd one out of three pictures, or the class of one; must match the dataset",
    ),
    "seed": Key(default=0, at_least=0, meaning="seed of weights, order and every random draw"),
    "deterministic": Key(
        default=False,
        meaning="bit-for-bit repeatable, also through a restart; slower operations on a GPU",
    ),
    "epochs": Key(default=25, at_least=1, meaning="reporting units of steps_per_epoch steps"),
    "steps_per_epoch": Key(
        default=0, at_least=0, meaning="steps; 0 = one pass through the training split"
    ),
    "validation_steps": Key(
        default=0, at_least=0, meaning="steps per validation split; 0 = the whole split"
    ),
    "batch_size": Key(
        default=64, at_least=1, meaning="triplets or pictures a step, over all replicas together"
    ),
    "image_size": Key(default=160, at_least=8, meaning="side in front of the backbone, pixels"),
    # How it is computed.
    "virtual_replicas": Key(
        default=0, at_least=0, meaning="replicas on this machine's CPU; 0 = the real devices"
    ),
    "precision": Key(
        default="float32",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        meaning="of the backbone; head, distances and loss are float32 always",
    ),
    "jit_compile": Key(default=False, meaning="XLA for the model; one replica only"),
    "steps_per_execution": Key(
        default=1, at_least=1, meaning="steps run by one call from Python; more hides its overhead"
    ),
    "distribute.all_reduce": Key(
        default="auto",
        choices=("auto", "nccl", "hierarchical", "one_device", "ring"),
        meaning="how gradients are summed: nccl, hierarchical (copies between the GPUs of one "
        "machine), one_device, ring (CPUs, or workers where NCCL hangs); auto = nccl on GPUs, "
        "ring on CPUs",
    ),
    # The model.
    "model.backbone": Key(
        default=HUB_HANDLE,
        meaning="hub:HANDLE_OR_PATH, keras:NAME of keras.applications, cnn or mlp",
    ),
    "model.weights": Key(
        default="",
        meaning="'' = the hub's own or random, imagenet, a weights file, or a RUN, whose head is "
        "taken too where it fits",
    ),
    "model.embedding_size": Key(
        default=128, at_least=1, meaning="numbers in an embedding (triplets)"
    ),
    "model.scale": Key(default=1.0, above=0, meaning="length of an embedding (triplets)"),
    "model.dropout": Key(
        default=0.4, at_least=0, below=1, meaning="share of features dropped before the head"
    ),
    "model.trainable": Key(
        default="all",
        meaning="all, head (the backbone is frozen), or the name of a layer of the backbone: "
        "it and those after it train",
    ),
    "model.pooling": Key(
        default="avg",
        choices=("avg", "max"),
        meaning="global pooling over the last feature map; a hub handle has its own",
    ),
    "model.pixel_range": Key(
        default="",
        choices=("", "0..255", "0..1", "-1..1", "caffe", "torch"),
        meaning="what the backbone is fed; '' = what its family wants, from a table",
    ),
    "model.channels": Key(
        default=3,
        at_least=1,
        at_most=3,
        meaning="of the pictures: 3 = RGB, 1 = grey",
    ),
    "loss.delta": Key(
        default=0.5, at_least=0, meaning="margin of the triplet loss, squared distance"
    ),
    # The optimizer.
    "optimizer.name": Key(
        default="adabound", meaning="adabound, amsbound, or a Keras or tensorflow-addons name"
    ),
    "optimizer.learning_rate": Key(default=1e-3, above=0, meaning="per step; start of a schedule"),
    "optimizer.final_learning_rate": Key(
        default=0.1, above=0, meaning="of AdaBound and AMSBound, towards the end (that of SGD)"
    ),
    "optimizer.schedule": Key(
        default="", meaning="'' = constant, or the name of a Keras schedule, such as CosineDecay"
    ),
    "optimizer.schedule_args": Key(
        default={}, meaning="the schedule's own arguments; decay_steps left out = the whole run"
    ),
    "optimizer.args": Key(default={}, meaning="the optimizer's further arguments"),
    # Light augmentation on the device, in training only, in this order.
    "augment.enabled": Key(default=False, meaning="all of this section on or off"),
    "augment.resize_to": Key(default=0, at_least=0, meaning="side before the crop, pixels; 0=none"),
    "augment.crop": Key(
        default=0,
        at_least=0,
        meaning="side of the random crop, pixels; 0 = none; image_size follows after it",
    ),
    "augment.flip": Key(default=False, meaning="mirror left to right, half of the time"),
    "augment.cutout": Key(
        default=0, at_least=0, meaning="side of the square cut out, pixels; 0 = none"
    ),
    "augment.cutout_implementation": Key(
        default="vectorised",
        choices=("vectorised", "addons"),
        meaning="our own, or tensorflow-addons' random_cutout",
    ),
    "augment.rotation": Key(
        default=0.0, at_least=0, at_most=0.5, meaning="largest turn either way, full turns; 0=none"
    ),
    "augment.brightness": Key(
        default=0.0,
        at_least=0,
        at_most=1,
        meaning="0.2 = 0.8 to 1.2 times; 0 = none",
    ),
    "augment.contrast": Key(
        default=0.0,
        at_least=0,
        below=1,
        meaning="likewise, about the mean colour; 0 = none",
    ),
    # The data.
    "data.train_split": Key(default="train", meaning="the split trained on"),
    "data.validation_splits": Key(
        default=("test",),
        meaning="splits measured every epoch; the first one is val_*, the others val_NAME_*",
    ),
    "data.variants": Key(
        default=1, at_least=0, meaning="stored variants used; 0 = all, 1 = the picture as it came"
    ),
    "data.image_table": Key(
        default="auto",
        choices=("auto", "decoded", "encoded"),
        meaning="pictures of a pass in memory; auto = for triplets, decoded where they fit; "
        "classes are streamed",
    ),
    "data.parallel_reads": Key(
        default=2,
        at_least=1,
        meaning="batches, or files of a table, read at a time; more for slow or remote storage",
    ),
    "data.service": Key(
        default="", meaning="address of a tf.data service, grpc://HOST:PORT; '' = read here"
    ),
    "data.shuffle_megabytes": Key(
        default=64, at_least=1, meaning="MB of shards that a pass is shuffled within at a time"
    ),
    # What is kept and what is watched.
    "checkpoint.every_steps": Key(
        default=0, at_least=0, meaning="steps between saved states; 0 = at the end of an epoch"
    ),
    "checkpoint.keep": Key(default=1, at_least=1, meaning="newest states kept, the best apart"),
    "checkpoint.best_metric": Key(
        default="", meaning="what best, stopping and plateau watch; '' = val_loss, or else loss"
    ),
    "early_stopping.patience": Key(
        default=0, at_least=0, meaning="epochs without improvement before stopping; 0 = off"
    ),
    "early_stopping.min_delta": Key(
        default=0.0, at_least=0, meaning="smallest change that counts as an improvement"
    ),
    "reduce_on_plateau.patience": Key(
        default=0, at_least=0, meaning="epochs without improvement before a cut; 0 = off"
    ),
    "reduce_on_plateau.factor": Key(
        default=0.1, above=0, below=1, meaning="the learning rate is multiplied by it"
    ),
    "reduce_on_plateau.min_learning_rate": Key(
        default=0.0, at_least=0, meaning="the learning rate is not cut below it"
    ),
    # Several workers.
    "watchdog.seconds": Key(
        default=600,
        at_least=0,
        meaning="longest call of a step before a worker ends with 75, five times that for tracing, "
        "saving and the like; where there are several workers; 0 = off",
    ),
    "watchdog.start_seconds": Key(
        default=300, at_least=1, meaning="how long a worker waits at the start for the others"
    ),
    # What only reports.
    "data.log_records": Key(
        default=False,
        meaning="the records of each step into RUN/records.jsonl, to see what was trained on; slow",
    ),
    "profile.steps": Key(
        default=(10, 20),
        item=int,
        meaning="first and last step traced, once a run; the default counts calls of "
        "steps_per_execution; empty = no trace",
    ),
    "profile.on_start": Key(
        default=False,
        meaning="trace ten calls of this process once it is warm, at whatever step: --profile",
    ),
    "profile.workers": Key(
        default="chief",
        choices=("chief", "all"),
        meaning="whose steps are traced: the first worker's, or those of each one",
    ),
    "profile.port": Key(
        default=0,
        at_least=0,
        below=65_536,
        meaning="port where `trainer capture` may ask for a trace, worker N at port + N; 0 = none",
    ),
    "profile.host": Key(
        default="localhost", meaning="name or address of this machine to listen on there"
    ),
    "tensorboard.histograms": Key(default=True, meaning="weight histograms, an epoch apart"),
    "tensorboard.graph": Key(default=True, meaning="the graph of the model"),
    "tensorboard.pictures": Key(default=True, meaning="the augmented batch and the mistakes"),
}

# A free mapping: its names are the arguments of a class that is only known by its name.
FREE_KEYS = tuple(name for name, key in KEYS.items() if isinstance(key.default, dict))


def defaults() -> ml_collections.ConfigDict:
    """Every key at its default: type-safe, and locked against keys that do not exist."""
    config = ml_collections.ConfigDict()
    for name, key in KEYS.items():
        section, _, leaf = name.rpartition(".")
        if section and section not in config:
            config[section] = ml_collections.ConfigDict()
        parent = config[section] if section else config
        parent[leaf] = ml_collections.ConfigDict() if name in FREE_KEYS else key.default
    config.lock()
    for name in FREE_KEYS:
        get(config, name).unlock()
    return config


def get(config: ml_collections.ConfigDict, name: str) -> Any:
    """The value of a dotted key, such as `optimizer.learning_rate`."""
    value = config
    for part in name.split("."):
        value = value[part]
    return value
