"""Rendered runs as processes of this machine: what their manifests make of a rank that fails."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from launch.supervisor.rehearse import Kill, parse_kill
from preprocess.shell.errors import UsageError
from tests.launch.made import IMAGE
from tests.launch.started_runs import Launcher, digest

KINDS = ("job", "jobset")


@pytest.fixture
def launch(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path / "state")


def words(kind: str, *flags: str) -> list[str]:
    return ["rehearse", "train", f"--backend={kind}", "--workers=2", f"--image={IMAGE}", *flags]


def test_a_kill_is_read_as_it_is_written():
    assert parse_kill("1@step5") == Kill(1, 5, signal.SIGKILL)
    assert parse_kill("0@step12:TERM") == Kill(0, 12, signal.SIGTERM)
    for text in ("1@5", "step5", "1@step5:HUP", "-1@step5"):
        with pytest.raises(UsageError, match="RANK@stepSTEP"):
            parse_kill(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mistake_of_the_user_is_not_tried_again(launch, tmp_path, kind):
    """A flag that the trainer has not: 64, and FailJob by the manifest's first rules."""
    flags = [f"--workdir={tmp_path / 'run'}", "--data=x", "--config=demo", "--no_such_flag=1"]
    logs = f"--logs={tmp_path / 'logs'}"
    said = launch(*words(kind, "--json", logs), "--", *flags, code=1)
    assert "ended with 64" in said and "attempt 1" not in said
    # Whichever rank ended first; the other is stopped, and may have said nothing yet.
    logs = [file.read_text() for file in (tmp_path / "logs").glob("rank-*-attempt-0.log")]
    assert any("no_such_flag" in log for log in logs)
    assert not list((tmp_path / "logs").glob("rank-*-attempt-1.log"))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--kill=2@step5", "--", "--workdir=/r"], "no rank 2 of 2"),
        (["--", "--config=demo"], "needs a local --workdir"),
        (["--backend=slurm", "--", "--workdir=/r"], "cannot be rehearsed"),
        (["--augment_workers=1", "--", "--data=/d", "--workdir=/r"], "cannot be rehearsed"),
    ],
)
def test_what_cannot_be_rehearsed_is_said(launch, given, problem):
    assert problem in launch(*words("job"), *given, code=64)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a busy machine
@pytest.mark.parametrize("kind", ["job", pytest.param("jobset", marks=pytest.mark.integration)])
def test_a_killed_rank_restarts_both_which_end_with_the_weights_of_an_undisturbed_run(
    launch, training, calm, tmp_path, kind
):
    """SIGKILL to rank 1 in its first life, at step 5 at the earliest, is counted once for both
    ranks; SIGTERM, once 30 of the 80 steps are done, is not counted: both have saved.
    """
    run = tmp_path / "run"
    flags = ["--kill=1@step5", "--kill=1@step30:TERM", "--grace=60s", "--json"]
    out = launch(*words(kind, *flags), "--", *training, f"--workdir={run}")
    result: dict[str, Any] = json.loads(out)
    events = result["events"]
    assert result["succeeded"], events
    assert result["counted"] == 1, events
    assert any("pod 1 was killed by SIGKILL" in event for event in events)
    for rank in range(2):
        assert (Path(result["logs"]) / f"rank-{rank}-attempt-2.log").exists(), events
    assert digest(run) == digest(calm)
