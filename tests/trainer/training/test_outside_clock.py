"""The account of a run's time against a clock outside of it."""

import itertools

import pytest

from tests.trainer import caused_runs
from trainer.monitoring.time_account import BETWEEN, account, read_attempts

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.integration]  # two minutes


def test_a_run_killed_three_times_is_accounted_for(class_data, tmp_path):
    """Of 350 steps, killed after 250 three times without a saved state, the second time on two
    replicas; 4 s pass between two attempts. A run ends when its report is written: what the process
    takes to end after that is nobody's. The account cannot see how long a killed process takes to
    end, nor the last twentieth of a second of its steps.
    """
    run = caused_runs.train("restarts", class_data, tmp_path / "killed")
    directory = tmp_path / "killed" / "run"
    spent = account(read_attempts(directory / "timeline" / "worker-0.jsonl"))
    assert spent.attempts == len(run.lives) == 4
    between = sum(then.started - life.ended for life, then in itertools.pairwise(run.lives))
    assert between > 12
    assert spent.seconds[BETWEEN] == pytest.approx(between, rel=0.02)
    outside = (directory / "report.json").stat().st_mtime - run.lives[0].started
    assert spent.wall_seconds == pytest.approx(outside, rel=0.02)
    redone = sum(life.reached for life in run.lives[:-1])
    assert redone >= 750
    assert spent.redone_steps == pytest.approx(redone, rel=0.02)
    assert run.report["time"]["redone_steps"] == spent.redone_steps
