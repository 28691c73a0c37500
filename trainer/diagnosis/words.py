"""A diagnosis for people: the table of phases, the sentence, the advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trainer.diagnosis.advice import Advice
from trainer.diagnosis.measurements import Measurements, Timing, chains
from trainer.diagnosis.step_model import StepModel, fit, imbalance, slowest
from trainer.remarks import others_in_words
from trainer.stages import INPUT_STAGES
from trainer.thresholds import NOISY, SMALL_GAIN, WORKER_INPUT

_WHAT = {
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
_NAMES = {"parse": "+ parse", "decode": "+ decode", "table": "+ table", "host_map": "+ host map"}
_LONGER = "Measure longer (--seconds=5), or when nothing else runs."
_BAR = 28  # characters of a share of 100 %


def bottleneck(model: StepModel, found: Measurements, advice: Sequence[Advice]) -> dict[str, Any]:
    """`bottleneck` as report.json has it; the measured phases decide."""
    return {
        "stage": model.binding,
        "verdict": verdict(model, found),
        "source": "phases",
        "input_tax": model.input_tax,
        "shares": model.shares,
        "advice": [_advised(each, model) for each in advice],
    }


def as_json(model: StepModel, found: Measurements, advice: Sequence[Advice]) -> dict[str, Any]:
    """All of it, for --json.

    `bottleneck`, `images_per_second`, `phases` by name, `stages_of_rounds` (what binds by each
    round of the phases alone: noise shows where they differ), `doubts` in words, `advice`.
    """
    now = model.pictures_a_step / model.full
    return {
        "bottleneck": bottleneck(model, found, advice),
        "images_per_second": now,
        "phases": {
            name.strip(): {
                "images_per_second": found.images_per_second(timing.median),
                "ms": 1000 * timing.median,
                "cpu_ms": 1000 * timing.cpu,
                "spread": timing.spread,
            }
            for name, timing in _phases(found)
        },
        "doubts": doubts(model, found),
        "stages_of_rounds": [fit(each).binding for each in found.rounds],
        "advice": [
            {
                "rule": each.rule,
                "text": each.text,
                "images_per_second": each.images_per_second,
                "change": dict(each.change),
            }
            for each in advice
        ],
    }


def verdict(model: StepModel, found: Measurements) -> str:
    """One sentence: what binds, with its share, and what training would be without it."""
    stage = model.binding
    if stage in INPUT_STAGES:
        kind = "Input-bound"
    elif stage in ("collective", "host_overhead"):
        kind = "Overhead-bound" if stage == "host_overhead" else "Bound by other replicas"
    else:
        kind = "Compute-bound"
    who = ""
    if stage == "collective" and imbalance(found.each_replica):
        who = f" ({found.replica_name(*slowest(found.each_replica))} is the slowest)"
    elif stage in INPUT_STAGES and len(found.worker_inputs) > 1:
        worst = max(range(len(found.worker_inputs)), key=lambda w: found.worker_inputs[w])
        others = [s for w, s in enumerate(found.worker_inputs) if w != worst]
        if found.worker_inputs[worst] >= WORKER_INPUT * max(others):
            who = f" (of worker {worst}, for which the others wait)"
    without = model.pictures_a_step / model.without(stage)
    return (
        f"{kind}: {model.shares[stage]:.0%} of step time {_WHAT[stage]}{who}; "
        f"without it, {without:,.0f} images/s instead of {model.pictures_a_step / model.full:,.0f}."
    )


def doubts(model: StepModel, found: Measurements) -> list[str]:
    """Why the figures may not be what they would be another time; [] where nothing says so."""
    said = [fit(each) for each in found.rounds]
    others = [
        each.binding
        for each in said
        if each.gains[each.binding] - each.gains[model.binding] > SMALL_GAIN
    ]
    lines = []
    if others:
        lines.append(
            f"Not certain: {len(others)} of {len(said)} rounds, taken alone, would say "
            f"{' or '.join(sorted(set(others)))}. {_LONGER}"
        )
    elif found.full.spread >= NOISY:
        lines.append(
            f"Rough figures: the rounds of training as it is were {found.full.spread:.0%} apart. "
            f"{_LONGER}"
        )
    busy = others_in_words(found.processor, found.processor_of_others)
    return [*lines, busy] if busy else lines


def table(model: StepModel, found: Measurements) -> list[str]:
    """The phases, a line each: images/s, ms a step, how far the rounds are apart."""
    lines = [f"{'phase':38} {'images/s':>10} {'ms a step':>10} {'spread':>7}"]
    for name, timing in _phases(found):
        speed = found.images_per_second(timing.median)
        shown = f"{speed:>10,.0f}" if timing.median else f"{'':>10}"
        spread = f"{timing.spread:.0%}" if len(timing.seconds) > 1 else ""
        lines.append(f"{name:38} {shown} {1000 * timing.median:>10.2f} {spread:>6}".rstrip())
    for each in found.inputs:
        if each.once and each.stage == "table":
            lines.append(f"(the table is filled once: {each.timing.median:.1f} s)")
    if model.input_seconds > (1 + SMALL_GAIN) * model.measured:
        speed = model.pictures_a_step / model.full
        lines.append(
            f"(a whole pass goes at {speed:,.0f} images/s: its input takes longer than the steps "
            "that were measured, for which it was partly there already)"
        )
    lines += ["", f"{'a step':18} {'share':>6}"]
    for stage, share in model.shares.items():
        if share >= 0.005:
            mark = "  <- binds" if stage == model.binding else ""
            lines.append(f"{stage:18} {share:>6.0%} {'#' * round(_BAR * share)}{mark}")
    return lines


def advised(advice: Sequence[Advice], model: StepModel) -> list[str]:
    """The advice, numbered, with the gain."""
    if not advice:
        return ["Nothing that was measured promises a gain."]
    return [f"{number}. {_advised(each, model)}" for number, each in enumerate(advice, 1)]


def applied(advice: Advice, before: float, after: float, noise: float = 0.0) -> str:
    """What a change brought, beside what was predicted; images per second.

    Args:
      advice: whose change was made.
      before: images per second.
      after: the same.
      noise: how far the rounds of a measurement were apart, as a share of it.
    """
    predicted = advice.images_per_second
    words = f"{_keys(advice)}: {before:,.0f} images/s before, {after:,.0f} after"
    if predicted is not None:
        words += f"; predicted {predicted:,.0f} ({after / predicted - 1:+.0%})"
    if abs(after / before - 1) < noise:
        words += f"; no more than the rounds were apart, {noise:.0%}: measure longer (--seconds)"
    return words


def _advised(advice: Advice, model: StepModel) -> str:
    now = model.pictures_a_step / model.full
    words = advice.text
    if advice.change:
        words += f" (--config.{_keys(advice)})"
    if advice.images_per_second is not None:
        words += (
            f": {advice.images_per_second:,.0f} images/s, {advice.images_per_second / now:.1f} x"
        )
    return words


def _keys(advice: Advice) -> str:
    return " --config.".join(f"{key}={value}" for key, value in advice.change.items())


def _phases(found: Measurements) -> Iterator[tuple[str, Timing]]:
    for chain in chains(found.inputs):
        for at, each in enumerate(chain):
            first = at == 0 and each.stage not in ("storage",)
            name = _NAMES.get(each.stage, each.stage)
            yield (name.removeprefix("+ ") + ", from the table" if first else name), each.timing
    yield "+ transfer", found.transfer
    yield "on-device preprocessing", found.preprocess
    yield "step on a resident batch", found.step
    if found.each_replica:
        for worker, replicas in enumerate(found.each_replica):
            for number, seconds in enumerate(replicas):
                name = f"  {found.replica_name(worker, number)} alone, its share"
                yield name, Timing((seconds,), (0.0,))
        yield "  summing the gradients", found.all_reduce
    yield "training loop on a resident batch", found.resident
    yield "training as it is", found.full
