"""From the iterators and operations of a trace to the stages of a run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from trainer.bottleneck.thresholds import INPUT_HIGH
from trainer.bottleneck.trace.explanation import (
    CPU,
    Explanation,
    IteratorTime,
    OperationTime,
    Split,
)
from trainer.bottleneck.trace.operations import layer_of_operation
from trainer.monitoring.stages import (
    COLLECTIVE,
    DECODE,
    HOST_MAP,
    MODEL,
    OVERHEAD,
    PARSE,
    PREPROCESS,
    STAGES,
    STEP_STAGES,
    STORAGE,
    TABLE,
    TRANSFER,
)

# The names that the reader gives its iterators.
NAMED_STAGES = (STORAGE, PARSE, DECODE, HOST_MAP, TABLE)

# They hand on what others make: time in them is time waited for the others.
_WAITING = ("Root", "Prefetch", "Generator", "Model", "MaxIntraOpParallelism", "PrivateThreadPool")
_READING = (
    "TFRecord",
    "FixedLengthRecord",
    "TextLine",
    "Cache",
    "ParallelInterleave",
    "Interleave",
)
_ENOUGH = 1 / 3  # of the time waited, to be what is waited for
_ASYNCHRONOUS = ("Parallel", "MapAndBatch")  # what they ask runs on other threads
_SINGLE = "SingleElementIterator"  # a dataset inside a function: our table of pictures


def culprit(iterators: Sequence[IteratorTime]) -> IteratorTime | None:
    """The stage of the input pipelines that the others wait for.

    A slow stage shows as own time of all that wait for it, each on a thread of its own, up to the
    root; what lies below it is ready when it is asked and shows little. So it is the lowest in the
    chain: from the one with the most own time down, as long as that is waiting. None if that
    does not explain what the step has waited.
    """
    able = [iterator for iterator in iterators if not only_waits(iterator) and iterator.self_ms > 0]
    slowest = max(able, key=lambda iterator: iterator.self_ms, default=None)
    while slowest is not None:
        below = [iterator for iterator in able if _waits_for(slowest, iterator)]
        if not below:
            break
        slowest = max(below, key=lambda iterator: iterator.self_ms)
    waited = sum(iterator.total_ms for iterator in iterators if iterator.awaited)
    return slowest if slowest and slowest.self_ms >= _ENOUGH * waited else None


def _waits_for(above: IteratorTime, below: IteratorTime) -> bool:
    """Whether the own time of one can be waiting for the other.

    Of calls that began before the trace or end after it nothing is known, so that a part of the
    one must do.
    """
    if below.self_ms < _ENOUGH * above.self_ms:
        return False
    if below.path[0] == _SINGLE and above.path[0] != _SINGLE:
        return True  # a dataset that runs inside a function of the other
    under = len(below.path) > len(above.path) and below.path[: len(above.path)] == above.path
    return under and above.kind.startswith(_ASYNCHRONOUS)


def only_waits(iterator: IteratorTime) -> bool:
    """Whether it hands on what other stages make."""
    return iterator.kind in _WAITING


def stage_of(iterator: IteratorTime, operations: Iterable[OperationTime]) -> str:
    """One of NAMED_STAGES: by the name of the iterator, else by what kind it is.

    Of a map without a name, one that is several stages, or one that was fused from several, the
    operations tell; they are those of the whole trace, as a trace does not say which function an
    operation ran in.
    """
    named = [s for s in NAMED_STAGES if re.search(rf"(?<![a-z]){s}(?![a-z])", iterator.name)]
    if len(named) == 1:
        return named[0]
    if iterator.kind.startswith(_READING):
        return STORAGE
    if not named and iterator.path[0] == _SINGLE:
        return TABLE
    spent = {stage: 0.0 for stage in (DECODE, PARSE, HOST_MAP) if not named or stage in named}
    for op in operations:
        if op.stage in spent:
            spent[op.stage] += op.self_ms
    most = max(spent, key=lambda stage: spent[stage], default=HOST_MAP)
    # Less than half of what was waited for: something else is in there.
    if spent and spent[most] >= iterator.self_ms / 2:
        return most
    others = [stage for stage in named if stage not in spent]
    return others[0] if others else HOST_MAP


def work_of(explanation: Explanation) -> dict[str, float]:
    """Milliseconds of operations by stage: of those on the devices, else of a step's own.

    On a CPU whose cores are all taken the input's count too: step and input share the cores.
    """
    operations = explanation.operations
    of = [op for op in operations if op.on_device] or operations
    stages = STAGES if explanation.is_processor_full else STEP_STAGES
    spent = dict.fromkeys(stages, 0.0)
    for op in of:
        if op.stage in spent and (op.stage in STEP_STAGES or not op.may_wait):
            spent[op.stage] += op.self_ms
    return spent


def costliest_layer(explanation: Explanation) -> tuple[str, float] | None:
    """(the on-device layer with the most operations' time, its share of all layers' time); None
    if not several are known.
    """
    operations = [op for op in explanation.operations if op.on_device] or explanation.operations
    spent: dict[str, float] = {}
    for op in operations:
        layer = layer_of_operation(op.name) if op.stage == PREPROCESS else None
        if layer:
            spent[layer] = spent.get(layer, 0.0) + op.self_ms
    if len(spent) < 2:
        return None
    most = max(spent, key=lambda layer: spent[layer])
    return most, spent[most] / sum(spent.values())


def input_stage(explanation: Explanation) -> str | None:
    """The stage that the input pipeline waits for; None if none explains the waiting."""
    slowest = culprit(explanation.iterators)
    return stage_of(slowest, explanation.operations) if slowest else None


def operation_shares(explanation: Explanation) -> dict[str, float]:
    """Share of step time by stage, of the part in which operations run.

    A trace splits the step's own time by replica and thread; it is divided as the time of the
    operations is.
    """
    split, work = explanation.split or Split(), work_of(explanation)
    step = split.device_compute
    if explanation.hardware == CPU:
        step += split.host_compute
    else:
        work[COLLECTIVE] = 0.0  # on a GPU the split itself has them
    total = sum(work.values())
    if not total:
        return {**work, MODEL: step}
    return {stage: step * spent / total for stage, spent in work.items()}


def stage_shares(explanation: Explanation) -> dict[str, float] | None:
    """Share of step time by stage, adding up to 1; None if it is not known.

    All waiting for input counts for the one stage that the pipeline waits for.
    """
    split, shares = explanation.split, operation_shares(explanation)
    if split is None or explanation.lacks_devices:
        return None
    shares[COLLECTIVE] += split.collectives
    shares[TRANSFER] = shares.get(TRANSFER, 0.0) + split.transfer + split.output
    shares[OVERHEAD] += split.others + split.between + split.kernel_launch + split.compile
    if explanation.hardware != CPU:  # operations on the host are what hinders a GPU
        shares[OVERHEAD] += split.host_compute
    if explanation.input_is_ready:
        shares[OVERHEAD] += split.input
        return {stage: share for stage, share in shares.items() if share}
    waited = input_stage(explanation)
    if not waited and split.input >= INPUT_HIGH:
        return None
    # A little waiting without a cause is for threads that hand on what is ready.
    waited = waited or HOST_MAP
    shares[waited] = shares.get(waited, 0.0) + split.input
    return {stage: share for stage, share in shares.items() if share}


def busy_stage(explanation: Explanation) -> str | None:
    """The largest stage where the input is not waited for; None if it is not known.

    Input that is not waited for costs nothing, unless it takes cores from the step.
    """
    shares = stage_shares(explanation) or {}
    if not explanation.is_processor_full:
        shares = {stage: share for stage, share in shares.items() if stage not in NAMED_STAGES}
    return max(shares, key=lambda stage: shares[stage], default=None)


def crowding_stage(explanation: Explanation) -> tuple[str, float] | None:
    """(the stage of the input that takes most of a full processor, its share of what runs there).

    None if the processor is not full, or the input is waited for: then that is the matter.
    """
    if not explanation.is_processor_full or explanation.waits_for_input(INPUT_HIGH):
        return None
    work = work_of(explanation)
    of_input = [stage for stage in NAMED_STAGES if work.get(stage)]
    most = max(of_input, key=lambda stage: work[stage], default=None)
    return (most, work[most] / sum(work.values())) if most else None
