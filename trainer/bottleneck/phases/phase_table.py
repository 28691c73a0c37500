"""A diagnosis as text: the table of phases, the advice, and what a change brought."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainer.bottleneck.bottleneck import Advice
from trainer.bottleneck.phases.measurements import Measurements, Timing, chains
from trainer.bottleneck.phases.step_model import StepModel
from trainer.bottleneck.sentences import advice_line, flags
from trainer.bottleneck.thresholds import SMALL_GAIN

_NAMES = {"parse": "+ parse", "decode": "+ decode", "table": "+ table", "host_map": "+ host map"}
_BAR = 28  # characters of a share of 100 %


def table(model: StepModel, measured: Measurements) -> list[str]:
    """The phases, a line each: images/s, ms a step, how far the rounds are apart."""
    lines = [f"{'phase':38} {'images/s':>10} {'ms a step':>10} {'spread':>7}"]
    for name, timing in phases(measured):
        speed = measured.images_per_second(timing.median)
        shown = f"{speed:>10,.0f}" if timing.median else f"{'':>10}"
        spread = f"{timing.spread:.0%}" if len(timing.seconds) > 1 else ""
        lines.append(f"{name:38} {shown} {1000 * timing.median:>10.2f} {spread:>6}".rstrip())
    for cut in measured.inputs:
        if cut.once and cut.stage == "table":
            lines.append(f"(the table is filled once: {cut.timing.median:.1f} s)")
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


def numbered(advice: Sequence[Advice]) -> list[str]:
    """The advice, numbered, with the gain."""
    if not advice:
        return ["Nothing that was measured promises a gain."]
    return [f"{number}. {advice_line(one)}" for number, one in enumerate(advice, 1)]


def applied(advice: Advice, before: float, after: float, noise: float = 0.0) -> str:
    """What a change brought, next to what was predicted; images per second.

    Args:
      advice: whose change was made.
      before: images per second.
      after: the same.
      noise: how far the rounds of a measurement were apart, as a share of it.
    """
    predicted = advice.images_per_second
    line = f"{flags(advice)}: {before:,.0f} images/s before, {after:,.0f} after"
    if predicted is not None:
        line += f"; predicted {predicted:,.0f} ({after / predicted - 1:+.0%})"
    if abs(after / before - 1) < noise:
        line += f"; no more than the rounds were apart, {noise:.0%}: measure longer (--seconds)"
    return line


def phases(measured: Measurements) -> Iterator[tuple[str, Timing]]:
    """(name, timing) of each phase, in the order of a step."""
    for chain in chains(measured.inputs):
        for number, cut in enumerate(chain):
            first = number == 0 and cut.stage != "storage"
            name = _NAMES.get(cut.stage, cut.stage)
            yield (name.removeprefix("+ ") + ", from the table" if first else name), cut.timing
    yield "+ transfer", measured.transfer
    yield "on-device preprocessing", measured.preprocess
    yield "step on a resident batch", measured.step
    if measured.each_replica:
        for worker, replicas in enumerate(measured.each_replica):
            for replica, seconds in enumerate(replicas):
                name = f"  {measured.replica_name(worker, replica)} alone, its share"
                yield name, Timing((seconds,), (0.0,))
        yield "  summing the gradients", measured.all_reduce
    yield "training loop on a resident batch", measured.resident
    yield "training as it is", measured.full
