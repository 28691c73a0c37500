"""What to change: a rule a class, each with the gain that follows from the measurements.

A rule looks at the model of a step and at the facts of a configuration, and gives an Advice or
None. The model says what a step would take if a stage cost something else; what that is, is the
rule's to know.
"""

from __future__ import annotations

import math

from preprocess.dataset_format import CLASSIFICATION
from trainer.diagnosis.advice import Advice, Facts, Rule
from trainer.diagnosis.measurements import Measurements
from trainer.diagnosis.step_model import Cost, StepModel, imbalance, slowest
from trainer.thresholds import SMALL_GAIN

MOST_PARALLEL_READS = 32
STEPS_A_CALL = 10
LARGER_BATCH = 4
LARGER_SIDE = 1.25  # stored pictures this much larger than what is used are worth storing smaller
BFLOAT16_CAPABILITY = 8.0  # Ampere


class MoreParallelReads:
    """Reads that wait for a disk or a network can wait beside each other."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        storage, waiting = model.costs["storage"], _waiting(facts, model)
        reads = min(MOST_PARALLEL_READS, 4 * facts.parallel_reads)
        if facts.table:
            reads = min(reads, facts.shards)
        if facts.service or not waiting or reads <= facts.parallel_reads:
            return None
        changed = Cost(storage.seconds - waiting * (1 - facts.parallel_reads / reads), storage.cpu)
        return Advice(
            type(self).__name__,
            f"read {reads} at a time instead of {facts.parallel_reads}",
            model.speed({"storage": changed}),
            {"data.parallel_reads": str(reads)},
        )


class MoreShards:
    """A table cannot read more files side by side than there are."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        storage, waiting = model.costs["storage"], _waiting(facts, model)
        shards = 4 * facts.parallel_reads
        if not facts.table or not waiting or facts.shards > facts.parallel_reads:
            return None
        changed = Cost(storage.seconds - waiting * (1 - facts.shards / shards), storage.cpu)
        return Advice(
            type(self).__name__,
            f"build the dataset with --shards={shards} instead of {facts.shards}, and read as many "
            f"at a time (data.parallel_reads={shards})",
            model.speed({"storage": changed}),
        )


class DecodedTable:
    """Pictures that are used more than once can be decoded once, where memory holds them."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        if facts.table == "decoded" or not facts.table_fits or facts.service:
            return None
        if facts.decoded_share >= 1:
            return None  # each picture, in the variant at hand, is used once
        changed = {"decode": model.costs["decode"] * facts.decoded_share}
        if not facts.table:
            changed |= {"storage": Cost(), "parse": Cost(), "host_map": facts.gather}
        return Advice(
            type(self).__name__,
            "keep the decoded pictures in memory",
            model.speed(changed),
            {"data.image_table": "decoded"},
        )


class StoreSmaller:
    """Stored pictures larger than what is trained on are read and decoded for nothing."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        if facts.stored_side < LARGER_SIDE * facts.used_side:
            return None
        share = (facts.used_side / facts.stored_side) ** 2
        # The on-device layers cast and resize what they are given.
        stages = ("decode", "table", "host_map", "transfer", "device_preprocess")
        changed = {stage: model.costs[stage] * share for stage in stages}
        # A disk or a network may be waited for as long for a few bytes as for many.
        storage, waiting = model.costs["storage"], _waiting(facts, model)
        working = Cost(storage.seconds - waiting, storage.cpu)
        changed["storage"] = Cost(waiting) + working * share
        return Advice(
            type(self).__name__,
            f"build the dataset with --image_size={facts.used_side}: the stored pictures have "
            f"{facts.stored_side} pixels a side",
            model.speed(changed),
        )


class OneStoredSize:
    """Pictures of several sizes are brought to one in every pass."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        if facts.stored_side:
            return None
        return Advice(
            type(self).__name__,
            f"build the dataset with --image_size={facts.used_side}: the pictures have several "
            "sizes, and each pass resizes them",
            model.speed({"host_map": Cost()}),
        )


class StoreRaw:
    """Pixels need no decoding, but more bytes of them are read."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        growth = facts.raw_growth
        if not growth or not facts.stored_side or model.binding != "decode":
            return None
        more = {stage: model.costs[stage] * growth for stage in ("storage", "parse")}
        return Advice(
            type(self).__name__,
            f"build the dataset with --encoding=raw, if memory has room for {growth:.0f} times "
            "the bytes",
            model.speed({"decode": Cost(), **more}),
        )


class DataService:
    """Other machines can prepare the batches."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        if facts.task != CLASSIFICATION or facts.service or facts.deterministic:
            return None
        stages = ("storage", "parse", "decode", "host_map")
        seconds = sum(model.costs[stage].seconds for stage in stages)
        workers = math.ceil(seconds / model.resident) if model.resident else 1
        return Advice(
            type(self).__name__,
            f"have {workers} worker{'s' if workers > 1 else ''} of a tf.data service, on machines "
            "like this one, prepare the batches (`trainer dataservice`, data.service, "
            "data.image_table=auto)",
            model.speed(dict.fromkeys(stages, Cost())),
        )


class VariantsOffline:
    """What the on-device layers do can be in the stored variants."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        if not facts.augment:
            return None
        return Advice(
            type(self).__name__,
            "move augmentation into the dataset: `preprocess build --variants=10`, "
            "augment.enabled=false, data.variants=0",
            model.speed({"device_preprocess": Cost()}),
            {"augment.enabled": "false", "data.variants": "0"},
            same_training=False,
        )


class StepsPerExecution:
    """Python has its turn once in several steps."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        steps = min(STEPS_A_CALL, facts.steps_per_epoch)
        if facts.steps_per_execution > 1 or steps < 2:
            return None
        # Of a step: what the loop adds to it, and calling it at all.
        calling = Cost(max(0.0, found.resident.median - found.step.median) + found.nothing.median)
        kept = model.costs["host_overhead"] - calling * (1 - 1 / steps)
        return Advice(
            type(self).__name__,
            f"run {steps} steps in one call",
            model.speed({"host_overhead": kept}),
            {"steps_per_execution": str(steps)},
        )


class LargerBatch:
    """What a step costs whatever its size is spread over more pictures."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        batch = LARGER_BATCH * facts.batch_size
        if batch > facts.batch_size * facts.steps_per_epoch:
            return None  # more than there is
        fixed = ("host_overhead", "collective")
        costs = {s: c if s in fixed else c * LARGER_BATCH for s, c in model.costs.items()}
        # Summing gradients takes the same, a slow replica's share of a batch does not.
        waiting = imbalance(found.each_replica) * (LARGER_BATCH - 1)
        costs["collective"] += Cost(waiting)
        return Advice(
            type(self).__name__,
            f"take a batch_size of {batch} instead of {facts.batch_size}, and a learning rate "
            "that goes with it",
            LARGER_BATCH * model.speed(costs),
            {"batch_size": str(batch)},
            same_training=False,
        )


class MixedPrecision:
    """Tensor cores; how much faster, only a run on them tells."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        if facts.gpu_capability < BFLOAT16_CAPABILITY or facts.precision != "float32":
            return None
        return Advice(
            type(self).__name__,
            "compute in bfloat16",
            None,
            {"precision": "mixed_bfloat16"},
            same_training=False,
        )


class SlowReplica:
    """One replica that all others wait for."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        waiting = imbalance(found.each_replica)
        if not waiting:
            return None
        worker, replica = slowest(found.each_replica)
        seconds = found.each_replica[worker][replica]
        return Advice(
            type(self).__name__,
            f"look at {found.replica_name(worker, replica)}: alone it takes "
            f"{seconds / (seconds - waiting):.1f} times as long as the others, which wait for it "
            "(another process on it, a lower clock, a slower machine?)",
            model.speed({"collective": model.costs["collective"] - Cost(waiting)}),
        )


class MoreReplicas:
    """Where the step itself is the limit, more devices are what helps."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        if model.binding != "model":
            return None
        return Advice(
            type(self).__name__,
            "the step itself is the limit: take more or faster devices, a smaller model or a "
            "smaller image_size",
        )


def _waiting(facts: Facts, model: StepModel) -> float:
    """Seconds of a step's reading in which a disk or a network is waited for."""
    storage = model.costs["storage"]
    # A table reads files side by side; where pictures are streamed Python reads, and its own
    # work is done by one thread at a time.
    working = storage.cpu / model.cores if facts.table else storage.cpu
    return max(0.0, storage.seconds - working)


RULES: tuple[Rule, ...] = (
    MoreParallelReads(),
    MoreShards(),
    DecodedTable(),
    StoreSmaller(),
    OneStoredSize(),
    StoreRaw(),
    DataService(),
    VariantsOffline(),
    StepsPerExecution(),
    LargerBatch(),
    MixedPrecision(),
    SlowReplica(),
    MoreReplicas(),
)


def advise(facts: Facts, model: StepModel, found: Measurements) -> list[Advice]:
    """All that is worth its while, the largest gain first; what has no figure comes last."""
    given = [advice for rule in RULES if (advice := rule(facts, model, found))]
    now = model.pictures_a_step / model.full
    worth = [
        advice
        for advice in given
        if advice.images_per_second is None or advice.images_per_second >= (1 + SMALL_GAIN) * now
    ]
    return sorted(worth, key=lambda advice: -(advice.images_per_second or 0.0))
