"""A diagnosis as plain data, for --json."""

from __future__ import annotations

from preprocess.shell.json_text import JsonObject
from trainer.bottleneck.bottleneck import Bottleneck
from trainer.bottleneck.phases.measurements import Measurements
from trainer.bottleneck.phases.phase_table import phases
from trainer.bottleneck.phases.phase_verdict import stages_of_rounds
from trainer.bottleneck.phases.step_model import StepModel
from trainer.bottleneck.sentences import advice_text, as_json, caveats


def diagnosis_json(bottleneck: Bottleneck, model: StepModel, measured: Measurements) -> JsonObject:
    """All of a diagnosis.

    Returns:
      `bottleneck` as report.json has it, `images_per_second`, `phases` by name,
      `stages_of_rounds` (what binds by each round of the phases alone: noise shows where they
      differ), `caveats` as sentences, `advice`.
    """
    return {
        "bottleneck": as_json(bottleneck),
        "images_per_second": model.pictures_a_step / model.full,
        "phases": {
            name.strip(): {
                "images_per_second": measured.images_per_second(timing.median),
                "ms": 1000 * timing.median,
                "cpu_ms": 1000 * timing.cpu,
                "spread": timing.spread,
            }
            for name, timing in phases(measured)
        },
        "caveats": caveats(bottleneck),
        "stages_of_rounds": stages_of_rounds(measured),
        "advice": [
            {
                "rule": advice.remedy,
                "text": advice_text(advice),
                "images_per_second": advice.images_per_second,
                "change": advice.change,
            }
            for advice in bottleneck.advice
        ],
    }
