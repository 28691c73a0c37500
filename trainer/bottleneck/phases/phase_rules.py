"""What to change: a rule a function, each with the gain that follows from the measurements.

A rule looks at the model of a step and at the facts of a configuration, and gives an Advice, named
as the rule, or None. The model says what a step would take if a stage cost something else; what
that is, is the rule's to know.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from trainer.bottleneck.bottleneck import Advice, ranked
from trainer.bottleneck.phases.diagnosis_facts import Facts
from trainer.bottleneck.phases.measurements import Measurements
from trainer.bottleneck.phases.step_model import Cost, StepModel, imbalance, slowest
from trainer.bottleneck.thresholds import SMALL_GAIN, STEPS_A_CALL

MOST_PARALLEL_READS = 32
LARGER_BATCH = 4
MORE_CORES = 4  # times as many, at most
LARGER_SIDE = 1.25  # stored pictures this much larger than what is used are worth storing smaller
BFLOAT16_CAPABILITY = 8.0  # Ampere


def more_parallel_reads(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """Reads that wait for a disk or a network can wait in parallel."""
    storage, waiting = model.costs["storage"], _waiting(facts, model)
    reads = min(MOST_PARALLEL_READS, 4 * facts.parallel_reads)
    if facts.table:
        reads = min(reads, facts.shards)
    if not waiting or reads <= facts.parallel_reads:
        return None
    changed = Cost(storage.seconds - waiting * (1 - facts.parallel_reads / reads), storage.cpu)
    speed = model.speed({"storage": changed})
    return _advice("more_parallel_reads", model, speed, reads=reads, now=facts.parallel_reads)


def more_shards(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """A table cannot read more files side by side than there are."""
    storage, waiting = model.costs["storage"], _waiting(facts, model)
    shards = 4 * facts.parallel_reads
    if not facts.table or not waiting or facts.shards > facts.parallel_reads:
        return None
    changed = Cost(storage.seconds - waiting * (1 - facts.shards / shards), storage.cpu)
    speed = model.speed({"storage": changed})
    return _advice("more_shards", model, speed, shards=shards, now=facts.shards)


def decoded_table(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """Pictures that are used more than once can be decoded once, where memory holds them."""
    if facts.table == "decoded" or not facts.table_fits:
        return None
    if facts.decoded_share >= 1:
        return None  # each picture, in the variant at hand, is used once
    changed = {"decode": model.costs["decode"] * facts.decoded_share}
    if not facts.table:
        changed |= {"storage": Cost(), "parse": Cost(), "host_map": facts.gather}
    return _advice("decoded_table", model, model.speed(changed))


def store_smaller(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """Stored pictures larger than what is trained on are read and decoded for nothing."""
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
    speed = model.speed(changed)
    return _advice("store_smaller", model, speed, used=facts.used_side, stored=facts.stored_side)


def one_stored_size(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """Pictures of several sizes are brought to one in every pass."""
    if facts.stored_side:
        return None
    speed = model.speed({"host_map": Cost()})
    return _advice("one_stored_size", model, speed, used=facts.used_side)


def store_raw(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """Pixels need no decoding, but more bytes of them are read."""
    growth = facts.raw_growth
    if not growth or not facts.stored_side or model.binding != "decode":
        return None
    more = {stage: model.costs[stage] * growth for stage in ("storage", "parse")}
    return _advice("store_raw", model, model.speed({"decode": Cost(), **more}), growth=growth)


def more_cores(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """Where the work of a step fills the cores, more of them prepare the batches sooner: as many
    as do all of it while the device runs a step.
    """
    work = sum(cost.cpu for cost in model.costs.values())
    needed = math.ceil(work / model.resident) if model.resident else 0
    cores = min(needed, math.floor(MORE_CORES * model.cores))
    if cores <= model.cores:
        return None
    ratio = model.cores / cores
    changed = {stage: Cost(cost.seconds, cost.cpu * ratio) for stage, cost in model.costs.items()}
    for stage in ("table", "parse", "decode", "host_map"):  # which work on all cores
        cost = model.costs[stage]
        working = min(cost.seconds, cost.cpu / model.cores)
        changed[stage] = Cost(cost.seconds - working * (1 - ratio), cost.cpu * ratio)
    return _advice("more_cores", model, model.speed(changed), cores=cores, now=model.cores)


def variants_offline(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """What the on-device layers do can be in the stored variants."""
    if not facts.augment:
        return None
    return _advice("variants_offline", model, model.speed({"device_preprocess": Cost()}))


def costly_layer(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """One of several on-device layers may take most of their time."""
    if len(measured.layers) < 2:
        return None
    name, seconds = max(measured.layers, key=lambda layer: layer[1])
    if not seconds:  # less than the measurement's own differences
        return None
    share = seconds / sum(each for _, each in measured.layers)
    left = model.costs["device_preprocess"] * (1 - share)
    speed = model.speed({"device_preprocess": left})
    return _advice("costly_layer", model, speed, layer=name, share=100 * share)


def steps_per_execution(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """Python has its turn once in several steps."""
    steps = min(STEPS_A_CALL, facts.steps_per_epoch)
    if facts.steps_per_execution > 1 or steps < 2:
        return None
    # Of a step: what the loop adds to it, and calling it at all.
    calling = Cost(
        max(0.0, measured.resident.median - measured.step.median) + measured.nothing.median
    )
    kept = model.costs["host_overhead"] - calling * (1 - 1 / steps)
    return _advice("steps_per_execution", model, model.speed({"host_overhead": kept}), steps=steps)


def larger_batch(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """What a step costs whatever its size is spread over more pictures."""
    batch = LARGER_BATCH * facts.batch_size
    if batch > facts.batch_size * facts.steps_per_epoch:
        return None  # more than there is
    fixed = ("host_overhead", "collective")
    costs = {s: c if s in fixed else c * LARGER_BATCH for s, c in model.costs.items()}
    # Summing gradients takes the same, a slow replica's share of a batch does not.
    waiting = imbalance(measured.each_replica) * (LARGER_BATCH - 1)
    costs["collective"] += Cost(waiting)
    speed = LARGER_BATCH * model.speed(costs)
    return _advice("larger_batch", model, speed, batch=batch, now=facts.batch_size)


def mixed_precision(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """Tensor cores; how much faster, only a run on them tells."""
    if facts.gpu_capability < BFLOAT16_CAPABILITY or facts.precision != "float32":
        return None
    return _advice("mixed_precision", model)


def slow_replica(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """One replica that all others wait for."""
    waiting = imbalance(measured.each_replica)
    if not waiting:
        return None
    worker, replica = slowest(measured.each_replica)
    seconds = measured.each_replica[worker][replica]
    replica_name = measured.replica_name(worker, replica)
    speed = model.speed({"collective": model.costs["collective"] - Cost(waiting)})
    times = seconds / (seconds - waiting)
    return _advice("slow_replica", model, speed, replica=replica_name, times=times)


def more_devices(facts: Facts, model: StepModel, measured: Measurements) -> Advice | None:
    """Where the step itself is the limit, more devices are what helps."""
    if model.binding != "model":
        return None
    return _advice("more_devices", model)


def _advice(
    remedy: str, model: StepModel, speed: float | None = None, **values: str | float
) -> Advice:
    """A remedy with the images per second that the model predicts; None = it does not know."""
    gain = None if speed is None else speed * model.full / model.pictures_a_step
    return Advice(remedy, values, images_per_second=speed, gain=gain)


def _waiting(facts: Facts, model: StepModel) -> float:
    """Seconds of a step's reading in which a disk or a network is waited for."""
    storage = model.costs["storage"]
    # A table reads files side by side; where pictures are streamed Python reads, and its own
    # work is done by one thread at a time.
    working = storage.cpu / model.cores if facts.table else storage.cpu
    return max(0.0, storage.seconds - working)


Rule = Callable[[Facts, StepModel, Measurements], Advice | None]
RULES: tuple[Rule, ...] = (
    more_parallel_reads,
    more_shards,
    decoded_table,
    store_smaller,
    one_stored_size,
    store_raw,
    more_cores,
    variants_offline,
    costly_layer,
    steps_per_execution,
    larger_batch,
    mixed_precision,
    slow_replica,
    more_devices,
)


def phase_advice(facts: Facts, model: StepModel, measured: Measurements) -> tuple[Advice, ...]:
    """All that is worth its while, the largest gain first; what has no figure comes last."""
    given = [advice for rule in RULES if (advice := rule(facts, model, measured))]
    return ranked(a for a in given if a.gain is None or a.gain >= 1 + SMALL_GAIN)
