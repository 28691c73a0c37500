"""Caveats of a verdict by the epochs of its run."""

import dataclasses

import pytest

from trainer.bottleneck import sentences
from trainer.bottleneck.bottleneck import Advice, Bottleneck, Kind, Source
from trainer.bottleneck.evidence import StepIsTheLimit
from trainer.bottleneck.run_caveats import with_caveats
from trainer.bottleneck.thresholds import SLOWED
from trainer.monitoring.processor import OTHERS, OWN

VERDICT = Bottleneck(
    Kind.COMPUTE,
    Source.LOOP,
    stage="model",
    evidence=(StepIsTheLimit(),),
    advice=(Advice("faster_model"),),
)
SENTENCE = sentences.verdict(VERDICT)


def caveats(rows):
    return sentences.caveats(with_caveats(VERDICT, rows))


def epochs(*speeds, replicas=1, **figures):
    return [
        {
            "epoch": at,
            "step": 100 * at,
            "images_per_second": speed,
            "images_per_second_per_replica": speed and speed / replicas,
            **figures,
        }
        for at, speed in enumerate(speeds, 1)
    ]


@pytest.mark.parametrize(
    ("speeds", "told"),
    [
        ((676.0, 210.0, 215.0, 212.0), "676 images/s in epoch 1, 212 in epoch 4."),
        ((300.0, 600.0, 100.0), "600 images/s in epoch 2, 100 in epoch 3."),
        ((100.0 * SLOWED, 100.0), "150 images/s in epoch 1, 100 in epoch 2."),
        ((100.0 * SLOWED - 0.1, 100.0), ""),
        ((600.0, 200.0, 590.0), ""),  # a slow minute that is over
        ((200.0, 600.0), ""),  # the first one reads from a cold disk
        ((600.0,), ""),
        ((None, 600.0), ""),
        ((None, 600.0, 200.0), "600 images/s in epoch 2, 200 in epoch 3."),
        ((None, None), ""),
        ((), ""),
    ],
)
def test_a_run_that_slowed_down_is_told(speeds, told):
    found = sentences.as_json(with_caveats(VERDICT, epochs(*speeds)))
    assert found["verdict"] == SENTENCE + (f" It slowed down: {told}" if told else "")
    assert found["advice"][-1] == sentences.advice_line(VERDICT.advice[0])
    assert [each.startswith("look for what has changed") for each in found["advice"][:-1]] == (
        [True] * bool(told)
    )
    assert found["stage"] == "model"


def test_other_processes_are_told_by_the_epochs_after_the_first():
    rows = [*epochs(100.0, **{OWN: 0.9, OTHERS: 0.0}), *epochs(100.0, **{OWN: 0.4, OTHERS: 0.52})]
    (told,) = caveats(rows)
    assert told == (
        "Other processes took 52% of this machine's processor meanwhile, and nothing of it was "
        "left."
    )
    assert not caveats(epochs(100.0, 100.0, **{OWN: 0.4, OTHERS: 0.4}))  # a fifth is idle
    assert not caveats(epochs(100.0, 100.0, **{OWN: None, OTHERS: None}))


@pytest.mark.parametrize(
    ("step", "told"), [(1, ""), (2, "1 step was"), (5, "4 steps were"), (6, "")]
)
def test_a_few_steps_tell_little(step, told):
    """The first one is not timed; where it is the only one, the verdict says so."""
    rows = [{**epochs(100.0 if step > 1 else None)[0], "step": step}]
    assert caveats(rows) == ([f"Only {told} timed: not much is known."] if told else [])


def test_a_run_that_came_back_with_fewer_replicas_did_not_slow_down():
    assert not caveats([*epochs(800.0, replicas=2), *epochs(400.0, replicas=1)])
    assert caveats([*epochs(800.0, replicas=2), *epochs(400.0, replicas=2)])


def test_what_holds_up_the_whole_run_comes_before_what_slows_down_its_steps():
    rows = epochs(100.0, 100.0, **{OWN: 0.4, OTHERS: 0.52})
    of_run = dataclasses.replace(
        VERDICT, steps=VERDICT, advice=(Advice("beside_saving"), *VERDICT.advice)
    )
    found = [advice.remedy for advice in with_caveats(of_run, rows).advice]
    assert found == ["beside_saving", "other_processes", "faster_model"]
    found = [advice.remedy for advice in with_caveats(VERDICT, rows).advice]
    assert found == ["other_processes", "faster_model"]
