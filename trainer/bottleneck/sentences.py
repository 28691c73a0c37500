"""A Bottleneck in English: the verdict, its caveats, its advice, and report.json's entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from preprocess.shell.json_text import JsonObject
from trainer.bottleneck import evidence as facts
from trainer.bottleneck.bottleneck import Advice, Bottleneck, Kind
from trainer.bottleneck.evidence import Evidence
from trainer.bottleneck.remedies import PROFILER_RIGHTS, REMEDIES
from trainer.monitoring.stages import MEANINGS

HEADLINES = {
    Kind.INPUT: "Input-bound",
    Kind.INPUT_ONE_WORKER: "Input-bound on one worker",
    Kind.COMPUTE: "Compute-bound",
    Kind.OVERHEAD: "Overhead-bound",
    Kind.COMMUNICATION: "Communication-bound",
    Kind.START: "Mostly start-up",
    Kind.TABLE: "Held up by the image table",
    Kind.VALIDATION: "Held up by validation",
    Kind.SAVING: "Held up by saving",
    Kind.RESTARTS: "Held up by restarts",
    Kind.THROTTLED: "Throttled",
    Kind.OVERSUBSCRIBED: "Oversubscribed",
    Kind.MEMORY: "Short of memory",
    Kind.UNKNOWN: "",
}
SLIGHTLY = "Slightly input-bound"

# What a run spends time on besides its steps.
BESIDE: dict[str, str] = {
    Kind.START: "starting: imports, building, compiling",
    Kind.TABLE: "building the image table",
    Kind.VALIDATION: "validation",
    Kind.SAVING: "saving",
    Kind.RESTARTS: "restarts: waiting for them, starting again, steps done twice",
    "callbacks": "TensorBoard, metrics.jsonl and the other work at the end of an epoch",
}
# What a stage takes of a measured step.
STAGES = {
    "storage": "waits for reading",
    "parse": "goes to parsing records",
    "decode": "goes to decoding pictures",
    "table": "goes to filling the image table",
    "host_map": "goes to putting batches together on the host",
    "transfer": "goes to bringing batches to the devices",
    "device_preprocess": "goes to the on-device layers",
    "model": "goes to the model",
    "collective": "goes to waiting for other replicas",
    "host_overhead": "goes to Python, launching and a small batch",
}
# Parts of a step in a trace that advice is given on.
PARTS = {
    "transfer": "copying batches to the device",
    "output": "reading results back",
    "kernel_launch": "launching kernels",
    "collectives": "exchanging gradients",
    "others": "neither input nor computing, which is Python",
    "between": "between the operations of a call",
    "update": "updating the weights, whatever the batch",
    "resizing_layers": "the on-device layers, which only resize and scale",
    "augmenting_layers": "the on-device layers, which augment",
    "model": "the model",
}
_LONGER = "Measure longer (--seconds=5), or when nothing else runs"
# Facts besides those of the first sentence.
_OWN_SENTENCE = (facts.TracedParts, facts.TracedWait, facts.FasterTrace)


def verdict(bottleneck: Bottleneck) -> str:
    """What holds the run back, in a sentence or two."""
    groups: list[list[str]] = [[]]
    for fact in bottleneck.evidence:
        if isinstance(fact, _OWN_SENTENCE):
            groups.append([])
        groups[-1].append(clause(fact))
    headline = SLIGHTLY if bottleneck.is_slight else HEADLINES[bottleneck.kind]
    first = ": ".join(part for part in (headline, "; ".join(groups[0])) if part)
    sentences = [first or "what holds the run back is not known"]
    sentences += ["; ".join(group) for group in groups[1:]]
    told = " ".join(map(_sentence, sentences))
    return told if bottleneck.steps is None else f"{told} Its steps: {verdict(bottleneck.steps)}"


def caveats(bottleneck: Bottleneck) -> list[str]:
    """Why it may not be the whole story, a sentence each."""
    return [_sentence(clause(fact)) for fact in bottleneck.caveats]


def advice_text(advice: Advice) -> str:
    """What to do, after the share that asks for it."""
    remedy = REMEDIES[advice.remedy].text.format(**advice.values)
    return remedy if advice.cause is None else f"{clause(advice.cause)}: {remedy}"


def advice_line(advice: Advice) -> str:
    """The same with the flags that make it, and the predicted speed."""
    line = advice_text(advice)
    if advice.change:
        line += f" ({flags(advice)})"
    if advice.gain is None:
        return line
    if advice.of_run:
        limit = "at most " if advice.at_most else ""
        return f"{line}: the whole run {limit}{advice.gain:.1f} x as fast"
    if advice.images_per_second is not None:
        line += f": {advice.images_per_second:,.0f} images/s, {advice.gain:.1f} x"
    return line


def flags(advice: Advice) -> str:
    """The flags that make a change of the configuration."""
    return " ".join(f"--config.{key}={value}" for key, value in advice.change.items())


def as_json(bottleneck: Bottleneck) -> JsonObject:
    """`bottleneck` of report.json: plain data, None for what the source cannot know."""
    shares = bottleneck.shares
    return {
        "kind": str(bottleneck.kind),
        "stage": bottleneck.stage,
        "verdict": " ".join([verdict(bottleneck), *caveats(bottleneck)]),
        "source": str(bottleneck.source),
        "input_tax": bottleneck.input_tax,
        "shares": None if shares is None else dict(shares),
        "advice": [advice_line(advice) for advice in bottleneck.advice],
    }


def clause(fact: Evidence) -> str:
    """A fact as a part of a sentence."""
    match fact:
        case facts.InputWait(share, stage):
            waits_for = f", and that waits for {stage}" if stage else ""
            return f"{share:.1%} of step time was spent waiting for input{waits_for}"
        case facts.BatchesReady():
            return "batches were there when they were asked for"
        case facts.StepIsTheLimit():
            return "the step itself is the limit"
        case facts.PythonBetweenSteps(share):
            return f"{share:.1%} of step time was spent in Python between the steps"
        case facts.SlowWorkerInput(worker, share, others):
            return (
                f"worker {worker} waits {share:.0%} of its time for input, the others at most "
                f"{others:.0%}: all wait for it"
            )
        case facts.NothingTimed():
            return "the time of a step was not measured: no call came after the first, cold one"
        case facts.WaitNotTimed():
            return "the input wait was not measured: batches were taken inside of a call"
        case facts.CoresTaken(stage, share):
            return f"all cores are taken, and {share:.1%} of what runs on them is {stage}"
        case facts.TracedParts(parts):
            return f"the largest part of a step in its trace is {_parts(parts)}"
        case facts.LargestParts(parts):
            return f"the largest part is {_parts(parts)}"
        case facts.TracedWait(stage):
            return f"in its trace the input waits for {stage}"
        case facts.FasterTrace(trace_ms, run_ms):
            return (
                f"its trace was taken when the run was faster, {trace_ms:.0f} ms a call against "
                f"{run_ms:.0f}, and does not say why it slowed down"
            )
        case facts.FixedCost(share):
            return (
                f"{share:.1%} of step time goes to what a batch costs whatever its size: Python, "
                "launching operations, updating the weights"
            )
        case facts.ReplicaExchange(share):
            return f"{share:.1%} of step time went between replicas"
        case facts.NoMarkedSteps():
            return (
                "no step was marked in this trace, so what a step's time went to is not known; "
                "trace whole calls, at least five"
            )
        case facts.NoDevices():
            return (
                "the trace has nothing of the GPUs, so what they did is not known: the profiler "
                f"needs the right to look {PROFILER_RIGHTS}"
            )
        case facts.StageShare(stage, share):
            return f"{share:.0%} of step time {STAGES.get(stage, f'goes to {stage}')}{_who(fact)}"
        case facts.SpeedWithout(without, now):
            return f"without it, {without:,.0f} images/s instead of {now:,.0f}"
        case facts.PartOfStep(part, share):
            return f"{share:.1%} of step time is {PARTS.get(part, part)}"
        case facts.SlowInputStage(share, stage, iterator, name, ms):
            where = f"{iterator} '{name}'" if name else iterator
            return (
                f"{share:.1%} of step time is waiting for input, of its stages the slowest is "
                f"{stage} ({where}, {ms:.1f} ms a call)"
            )
        case facts.UnexplainedWait(share):
            return (
                f"{share:.1%} of step time is waiting for input, which no stage of its pipeline "
                "explains"
            )
        case facts.SharedCores(stage, share):
            return f"{share:.1%} of what runs on the processor, which the steps share, is {stage}"
        case facts.BesideSteps(kind, share, seconds, steps_seconds):
            what = BESIDE.get(kind, kind)
            return (
                f"{share:.0%} of the run's time, {seconds:,.0f} s, went to {what}; its steps took "
                f"{steps_seconds:,.0f} s"
            )
        case facts.SpreadBesideSteps(share, seconds, steps_seconds, parts):
            each = ", ".join(f"{BESIDE.get(kind, kind)} {took:,.0f} s" for kind, took in parts)
            return (
                f"{share:.0%} of the run's time, {seconds:,.0f} s, did not go to steps ({each}); "
                f"its steps took {steps_seconds:,.0f} s"
            )
        case facts.CpuQuota(cores, share):
            return (
                f"the container may use {cores:g} cores, and was held back in {share:.0%} of the "
                "periods in which that is counted"
            )
        case facts.MoreReplicasThanCores(replicas, cores, workers):
            of = f" of {workers} workers of this run" if workers > 1 else ""
            return f"{replicas} replicas{of} share {cores:g} {'core' if cores == 1 else 'cores'}"
        case facts.ColdFirstPass(share, seconds):
            return (
                f"{share:.0%} of the run's time, {seconds:,.0f} s, its first epochs waited for "
                "their input; the later ones hardly do"
            )
        case facts.LateVariants(share, seconds, a_variant, a_pass, workers):
            rates = (
                f"; it builds a variant in {a_variant:.3g} s with {workers} worker(s), and a pass "
                f"takes {a_pass:.3g} s"
            )
            return (
                f"{share:.0%} of the run's time, {seconds:,.0f} s, went to waiting for the next "
                f"variant from `preprocess follow`{rates if a_variant and a_pass else ''}"
            )
        case facts.KilledForMemory(kills, share):
            times = "once" if kills == 1 else f"{kills} times"
            return (
                f"the memory limit killed a process {times}, and {share:.0%} of the run's time "
                "went to starting again and to steps done twice"
            )
        case facts.StalledForMemory(share):
            return (
                f"for {share:.0%} of the time something in this container waited for memory to be "
                "freed or read back from disk"
            )
        case facts.DroppedForMemory(reread, limit, waited):
            of = "" if limit is None else f" of {limit / 1e9:.1f} GB"
            return (
                f"{reread:.0%} of what was read from storage had been in memory before, and was "
                f"dropped for the memory limit{of}; steps waited {waited:.0%} of the run's time "
                "for their input"
            )
    return _caveat(fact)


def _caveat(
    fact: facts.OtherProcesses
    | facts.GpuHeldBack
    | facts.GpuSlowLink
    | facts.GpuErrors
    | facts.GpuShared
    | facts.SlowedDown
    | facts.FewSteps
    | facts.RoundsDisagree
    | facts.RoundsApart,
) -> str:
    match fact:
        case facts.OtherProcesses(share):
            return (
                f"other processes took {share:.0%} of this machine's processor meanwhile, and "
                "nothing of it was left"
            )
        case facts.GpuHeldBack(gpu, reasons, fraction):
            clock = "" if fraction is None else f" to {fraction:.0%} of its clock"
            return f"GPU {gpu} was held back{clock} by {' and '.join(reasons)}"
        case facts.GpuSlowLink(gpu, lanes, most, generation, newest):
            return (
                f"GPU {gpu} is linked by {lanes} of {most} PCI Express lanes, of generation "
                f"{generation} of {newest}"
            )
        case facts.GpuErrors(gpu, count):
            return f"GPU {gpu} has had {count:,} memory errors that could not be corrected"
        case facts.GpuShared(gpu, processes):
            many = "another process" if processes == 1 else f"{processes} other processes"
            return f"{many} computed on GPU {gpu} meanwhile"
        case facts.SlowedDown(fast_epoch, fast, last_epoch, last):
            return (
                f"it slowed down: {fast:,.0f} images/s in epoch {fast_epoch}, {last:,.0f} in epoch "
                f"{last_epoch}"
            )
        case facts.FewSteps(steps):
            were = "1 step was" if steps == 1 else f"{steps} steps were"
            return f"only {were} timed: not much is known"
        case facts.RoundsDisagree(rounds, total, stages):
            return (
                f"not certain: {rounds} of {total} rounds, taken alone, would say "
                f"{' or '.join(stages)}. {_LONGER}"
            )
        case facts.RoundsApart(spread):
            return (
                f"rough figures: the rounds of training as it is were {spread:.0%} apart. {_LONGER}"
            )
    assert_never(fact)


def _parts(parts: Sequence[tuple[str, float]]) -> str:
    return ", then ".join(f"{_with_meaning(stage)}, {share:.1%}" for stage, share in parts)


def _with_meaning(stage: str) -> str:
    return f"{stage} ({MEANINGS[stage]})" if stage in MEANINGS else stage


def _who(fact: facts.StageShare) -> str:
    if fact.replica is not None:
        of_worker = "" if fact.worker is None else f" of worker {fact.worker}"
        return f" (replica {fact.replica}{of_worker} is the slowest)"
    if fact.worker is not None:
        return f" (of worker {fact.worker}, for which the others wait)"
    return ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
