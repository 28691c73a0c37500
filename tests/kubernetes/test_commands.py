"""Commands of `launch` beside `train`, and its flags for short and watched runs, in real pods."""

from __future__ import annotations

import http.client
import json
import signal

import pytest

from tests.kubernetes.crew import MOUNT, Crew
from tests.kubernetes.runs import JOB, JOBSET, until
from trainer.workers.supervisor.processes import free_ports

pytestmark = [pytest.mark.kubelets, pytest.mark.timeout(900)]


@pytest.mark.parametrize("backend", [JOB, JOBSET])
def test_a_smoke_run_trains_and_resumes_beside_the_run_directory(crew: Crew, backend: str):
    crew.start("fec", backend, launcher=("--smoke",))
    crew.alice.launch("wait", "fec")
    status = crew.alice.status("fec")
    assert (status["state"], status["failures"]) == ("succeeded", 0), crew.said("fec")
    assert crew.result("fec")["steps"] == 2
    assert not (crew.volume / "fec").exists() and (crew.volume / "fec-smoke").exists()


def test_two_workers_share_a_search(crew: Crew):
    crew.write_config("fec", epochs=2)
    rates = "search: {optimizer.learning_rate: {low: 1.0e-4, high: 1.0e-2}}"
    space = f"sampler: random\ntrials: 3\n{rates}\n"
    (crew.volume / "space.yaml").write_text(space, encoding="utf-8")
    crew.alice.launch("search", f"--backend={JOB}", "--name=study", "--workers=2",
                      *crew.common, "--", f"--config={MOUNT}/fec.py", f"--space={MOUNT}/space.yaml",
                      f"--data={MOUNT}/triplets", f"--workdir={MOUNT}/study")  # fmt: skip
    crew.ends("study")
    assert crew.alice.status("study")["state"] == "succeeded", crew.said("study")
    found = json.loads((crew.volume / "study" / "search.json").read_text())
    assert len(list((crew.volume / "study" / "trials").iterdir())) == 3, found


def test_the_tensorboard_of_a_run_is_forwarded(crew: Crew):
    crew.start("fec", JOB, launcher=("--tensorboard",))
    crew.alice.launch("wait", "fec")
    [port] = free_ports(1)
    process = crew.alice.start("tensorboard", "fec", f"--port={port}")
    try:

        def shows_the_run() -> bool:
            assert process.poll() is None, process.communicate()
            connection = http.client.HTTPConnection("localhost", port, timeout=10)
            try:
                connection.request("GET", "/data/runs")
                return bool(json.loads(connection.getresponse().read()))
            except (OSError, ValueError, http.client.HTTPException):
                return False
            finally:
                connection.close()

        until("it shows the run", shows_the_run)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
