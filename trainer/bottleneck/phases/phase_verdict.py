"""The verdict of measured phases, which decide."""

from __future__ import annotations

from trainer.bottleneck.bottleneck import Advice, Bottleneck, Kind, Source
from trainer.bottleneck.evidence import (
    Evidence,
    RoundsApart,
    RoundsDisagree,
    SpeedWithout,
    StageShare,
)
from trainer.bottleneck.phases.measurements import Measurements
from trainer.bottleneck.phases.step_model import StepModel, fit, imbalance, slowest
from trainer.bottleneck.run_caveats import other_processes
from trainer.bottleneck.thresholds import NOISY, SMALL_GAIN, WORKER_INPUT
from trainer.monitoring.stages import COLLECTIVE, INPUT_STAGES, OVERHEAD


def phase_verdict(
    model: StepModel, measured: Measurements, advice: tuple[Advice, ...]
) -> Bottleneck:
    """What binds, with its share, and what training would be without it."""
    stage = model.binding
    pictures = model.pictures_a_step
    worker, replica = _slow_worker_or_replica(stage, measured)
    return Bottleneck(
        _kind(stage, worker),
        Source.PHASES,
        stage=stage,
        shares=model.shares,
        input_tax=model.input_tax,
        evidence=(
            StageShare(stage, model.shares[stage], worker, replica),
            SpeedWithout(pictures / model.without(stage), pictures / model.full),
        ),
        caveats=_caveats(model, measured),
        advice=advice,
    )


def stages_of_rounds(measured: Measurements) -> list[str]:
    """What binds by each round of the phases alone."""
    return [fit(one).binding for one in measured.rounds]


def _kind(stage: str, worker: int | None) -> Kind:
    if stage in INPUT_STAGES:
        return Kind.INPUT if worker is None else Kind.INPUT_ONE_WORKER
    return {COLLECTIVE: Kind.COMMUNICATION, OVERHEAD: Kind.OVERHEAD}.get(stage, Kind.COMPUTE)


def _slow_worker_or_replica(stage: str, measured: Measurements) -> tuple[int | None, int | None]:
    """(worker, replica) that the others wait for; None if it is no single one, and the worker
    if there is one only.
    """
    if stage == COLLECTIVE and imbalance(measured.each_replica):
        worker, replica = slowest(measured.each_replica)
        return worker if len(measured.each_replica) > 1 else None, replica
    inputs = measured.worker_inputs
    if stage in INPUT_STAGES and len(inputs) > 1:
        worst = max(range(len(inputs)), key=lambda worker: inputs[worker])
        others = [seconds for worker, seconds in enumerate(inputs) if worker != worst]
        if inputs[worst] >= WORKER_INPUT * max(others):
            return worst, None
    return None, None


def _caveats(model: StepModel, measured: Measurements) -> tuple[Evidence, ...]:
    """Why the figures may not be what they would be another time."""
    rounds = [fit(one) for one in measured.rounds]
    others = [
        one.binding
        for one in rounds
        if one.gains[one.binding] - one.gains[model.binding] > SMALL_GAIN
    ]
    caveats: list[Evidence] = []
    if others:
        stages = tuple(sorted(set(others)))
        caveats.append(RoundsDisagree(len(others), len(rounds), stages))
    elif measured.full.spread >= NOISY:
        caveats.append(RoundsApart(measured.full.spread))
    if busy := other_processes(measured.processor, measured.processor_of_others):
        caveats.append(busy)
    return tuple(caveats)
