"""What holds up a run outside of its steps, put in on purpose, is named first."""

import os

import pytest

from tests.trainer import caused_runs, datasets, run_causes
from tests.trainer.control_groups import can_limit
from tests.trainer.run_causes import RUN_CAUSES
from trainer.bottleneck import run_verdict
from trainer.bottleneck.remedies import REMEDIES

pytestmark = [pytest.mark.slow, pytest.mark.alone]

# Some seconds each in place of a minute: what of run_causes.py is shorter, and changes of the
# configuration. What is put in takes several times as long as all the rest.
QUICK = {
    "slow saves": (
        {"FSYNC_SECONDS": 0.1},
        {"steps_per_epoch": 40, "checkpoint__every_steps": 4},
    ),
    "slow validation": ({"VALIDATION_SECONDS": 1.5}, {"epochs": 5, "steps_per_epoch": 6}),
    "slow callback": ({"CALLBACK_SECONDS": 1.5}, {"epochs": 5, "steps_per_epoch": 6}),
    "cold first pass": ({"COLD_SECONDS": 0.6}, {"epochs": 4, "steps_per_epoch": 12}),
    "slow table": ({"TABLE_SECONDS": 1.5}, {"steps_per_epoch": 6}),
    "two replicas on one core": ({}, {"steps_per_epoch": 4, "epochs": 1, "model__backbone": "mlp"}),
}
LEAST_SECONDS = 1.0


def test_the_remedies_that_are_waited_for_exist():
    for cause in RUN_CAUSES.values():
        assert set(cause.remedies) <= set(REMEDIES)


@pytest.mark.parametrize("name", QUICK)
def test_what_holds_up_a_run_is_named(
    name, train_here, class_data, triplet_data, monkeypatch, tmp_path
):
    cause = RUN_CAUSES[name]
    shorter, changes = QUICK[name]
    for constant, value in shorter.items():
        monkeypatch.setattr(run_causes, constant, value)
    if shorter:
        monkeypatch.setattr(run_verdict, "BESIDE_SECONDS", LEAST_SECONDS)
        monkeypatch.setattr(run_verdict, "ONCE_SECONDS", LEAST_SECONDS)
    if cause.cores:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cause.cores)))
    cause.inject(monkeypatch)
    base, values = caused_runs.configuration(cause, {**changes, "profile.steps": ()})
    config = datasets.configuration(base, **values)
    data = triplet_data if cause.data == "triplets" else class_data
    report = train_here(config, data, tmp_path / "run", cause.replicas)
    found = report["bottleneck"]
    assert found["kind"] == cause.kind, (found, report["time"])
    assert caused_runs.is_remedy(name, found["advice"][0]), found


@pytest.mark.integration  # a minute or two each
@pytest.mark.parametrize("name", [n for n in RUN_CAUSES if n not in QUICK and n != "restarts"])
def test_what_takes_processes_of_its_own_is_named(name, class_data, triplet_data, tmp_path):
    """`restarts` is in tests/trainer/training/test_outside_clock.py."""
    cause = RUN_CAUSES[name]
    if not all(map(can_limit, cause.groups)):
        pytest.skip("no right to make control groups with a limit")
    data = {"triplets": triplet_data, "classes": class_data}.get(cause.data)
    if data is None:  # a gigabyte, for one test
        (tmp_path / "data").mkdir()
        data = caused_runs.make_data(tmp_path / "data", name)
    found = caused_runs.judged(name, caused_runs.train(name, data, tmp_path / "caused"))
    assert found["right"], found
