"""The sections of how a run goes: what it reads, measures, keeps, watches and shows."""

from __future__ import annotations

import dataclasses

from trainer.config.bounds import MOST_EPOCHS, MOST_SECONDS, MOST_STEPS
from trainer.config.key_field import key

LIVE, REUSE = "live", "reuse"  # of data.variants and data.on_late


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, and how."""

    train_split: str = key(default="train", meaning="the split trained on")
    shares: tuple[int, ...] = key(
        default=(),
        item=int,
        meaning="with several --data, how many rows of each to how many of the others, in their "
        "order, such as 7,3; empty = as many as they have records",
    )
    validation_splits: tuple[str, ...] = key(
        default=("test",),
        meaning="splits measured in a validation; the first one is val_*, the others val_NAME_*",
    )
    variants: int | str = key(
        default=1,
        at_least=0,
        at_most=10_000,
        words=(LIVE,),
        meaning="stored variants used; 0 = all, 1 = the picture as it came; live = pass p reads "
        "variant p, which `preprocess follow` builds meanwhile",
    )
    on_late: str = key(
        default="wait",
        choices=("wait", REUSE),
        meaning="with variants=live, where the next variant is late: wait for it, or reuse the "
        "newest older one, after which the run cannot be repeated exactly",
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

    @property
    def live(self) -> bool:
        """Whether variants are built while the run trains."""
        return self.variants == LIVE

    def stored_variants(self, stored: int) -> int:
        """How many of a split's stored variants are used; with live ones, all."""
        if isinstance(self.variants, str):
            return stored
        return min(self.variants or stored, stored)


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
        default="",
        meaning="what best, stopping and plateau watch, of equal values the earliest; '' = "
        "val_accuracy for classification, val_loss for other tasks, loss without validation",
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
    graph: bool = key(
        default=True, meaning="the graph of a step: model, loss, gradients and optimizer"
    )
    pictures: bool = key(default=True, meaning="the augmented batch and the mistakes")
    gradients: int = key(
        default=0,
        at_least=0,
        at_most=MOST_STEPS,
        meaning="steps between two looks at the norm of the gradient, over all weights and by "
        "layer, before clipping; 0 = none",
    )


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
class DebugConfig:
    """To see inside a run that goes wrong; both are slow."""

    check_numerics: bool = key(
        default=False,
        meaning="after each step, whether all is finite; at a divergence, the first layer, records "
        "and gradients that were not; changes no weight",
    )
    eager: bool = key(
        default=False,
        meaning="steps in Python, operation by operation, so that a debugger or print() sees every "
        "value",
    )
