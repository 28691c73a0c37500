"""The API server goes away in the midst of a command: hangs, or dies and comes back."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.kubernetes.cluster import ControlPlane
from tests.kubernetes.kubelet import End
from tests.kubernetes.runs import SECONDS, Team, conditions, until
from tests.launch.made import IMAGE

OUTAGE_SECONDS = 60.0

Outage = Callable[[], contextlib.AbstractContextManager[None]]


@pytest.fixture(params=["hangs", "dies"])
def outage(request: pytest.FixtureRequest, cluster: ControlPlane) -> Outage:
    """An outage that lasts as long as the block, and OUTAGE_SECONDS at the least."""

    @contextlib.contextmanager
    def made() -> Iterator[None]:
        began = time.monotonic()
        hangs = request.param == "hangs"
        cluster.pause_server() if hangs else cluster.kill_server()
        try:
            yield
            time.sleep(max(0.0, began + OUTAGE_SECONDS - time.monotonic()))
        finally:
            cluster.continue_server() if hangs else cluster.start_server()

    return made


def ends(process: subprocess.Popen[str]) -> bool:
    """Whether a command gave up, as it may in a long outage: with 69, in a line, no traceback.

    A server that has just started refuses everybody, and a command's first request may meet it.
    """
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode in (0, 69), f"{out}{err}"
    assert "Traceback" not in err
    if process.returncode:
        assert re.search("the API server does not respond|is forbidden", err.splitlines()[-1]), err
    return process.returncode != 0


def test_every_command_outlives_an_outage_and_ends_right(team: Team, outage: Outage):
    """Those that wait and follow began before it, the others in it; each says once that the
    server is away. A pod writes and another begins while nobody can be asked.
    """
    team.alice.train("fec", "--max_restarts=3")
    [pod] = team.running("fec", 1)
    team.kubelet.write(pod, "before")
    follow = team.alice.start("logs", "fec", "--follow")
    wait = team.alice.start("wait", "fec")
    assert follow.stdout and follow.stdout.readline() == "before\n"
    assert wait.stderr and "running" in wait.stderr.readline()
    with outage():
        flags = ("--backend=job", "--name=other", f"--image={IMAGE}")
        words = (*flags, f"--namespace={team.namespace}", "--", "--config=demo")
        train = team.alice.start("train", *words)
        status = team.alice.start("status", "fec")
        team.kubelet.write(pod, "meanwhile")
    ends(status)
    if ends(train):
        team.alice.launch("train", *words)
    team.running("other", 1)
    team.kubelet.write(pod, "after")
    line = follow.stdout.readline()
    assert line == "meanwhile\n", line or follow.communicate()
    assert follow.stdout.readline() == "after\n"
    team.kubelet.end(pod, End(1, "a crash"))
    again: list[dict] = []

    def replaced() -> bool:
        again[:] = [p for p in team.running("fec", 1) if p["metadata"] != pod["metadata"]]
        return again[0]["metadata"]["uid"] != pod["metadata"]["uid"]

    until("it runs again", replaced)
    team.kubelet.write(again[0], "second attempt")
    assert follow.stdout.readline() == "second attempt\n"
    team.kubelet.end(again[0], End(0))
    until("it is done", lambda: "Complete" in conditions(team.run("fec")))
    out, err = follow.communicate(timeout=SECONDS)
    assert (follow.returncode, out) == (0, "")
    assert err.count("does not respond") == 1 and err.count("responds again") == 1, err
    out, err = wait.communicate(timeout=SECONDS)
    assert wait.returncode == 0
    assert err.count("does not respond") == 1 and err.count("responds again") == 1, err
    assert "succeeded" in err
