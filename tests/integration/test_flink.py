"""The build on a Flink cluster of separate processes, of which one is killed."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from preprocess.engines import beam_job as pipeline
from preprocess.shell.errors import EngineError
from tests.integration import flink, system
from tests.preprocess import made

pytestmark = pytest.mark.timeout(1800)  # downloads and Maven on a slow day

TASK_MANAGERS = 2
SHARDS = 12  # of train: more than slots, so that a kill finds work both done and left


@pytest.fixture(scope="module")
def jar() -> Path:
    return flink.job_server()


@pytest.fixture(scope="module")
def running(jar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[flink.Cluster]:
    yield from flink.cluster(tmp_path_factory.mktemp("flink"), TASK_MANAGERS)


@pytest.fixture
def cluster(running: flink.Cluster) -> flink.Cluster:
    """With both TaskManagers, whatever the test before did to them."""
    running.start(TASK_MANAGERS)
    return running


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of a set of made-up faces, large enough to be killed in the middle of."""
    folder = tmp_path_factory.mktemp("source")
    made.run("synth", f"--output={folder}", "--faces=240", "--triplets=300")
    return [
        *("--source=fec", f"--csv={folder / 'labels.csv'}", "--variants=8", f"--shards={SHARDS}"),
        f"--images={folder / 'images_cropped'}",
    ]


@pytest.fixture(scope="module")
def local_digest(source: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("local") / "dataset"
    return summary(made.run("build", *source, f"--output={output}", "--json"))["digest"]


@pytest.fixture
def on_flink(
    cluster: flink.Cluster, jar: Path, source: list[str]
) -> Callable[[Path], subprocess.Popen[str]]:
    """Starts the build: besides the address, only the jar that the test has at hand."""

    def start(output: Path) -> subprocess.Popen[str]:
        engine = ["--runner=FlinkRunner", f"--flink_master={cluster.address}"]
        arguments = ["build", *source, f"--output={output}", "--json", "--"]
        return subprocess.Popen(
            made.command(*arguments, *engine, f"--flink_job_server_jar={jar}"),
            env=made.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def summary(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def finished(build: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = build.communicate(timeout=900)
    return subprocess.CompletedProcess(build.args, build.returncode, out, err)


def markers(output: Path) -> list[str]:
    folder = output / ".build" / "done"
    return [p.name for p in folder.glob("*.json")] if folder.exists() else []


def test_both_task_managers_build_what_a_local_run_builds(
    cluster: flink.Cluster, on_flink: Any, local_digest: str, tmp_path: Path
) -> None:
    done = finished(on_flink(tmp_path / "dataset"))
    assert summary(done)["digest"] == local_digest
    assert "Exception" not in done.stderr
    job = cluster.last_job()
    assert job["state"] == "FINISHED"
    everyone = {f"taskmanager{number}" for number in range(TASK_MANAGERS)}
    assert cluster.task_managers_of(job, "BuildImages") == everyone


def test_a_task_manager_killed_in_the_middle_costs_only_what_it_was_at(
    cluster: flink.Cluster, on_flink: Any, local_digest: str, tmp_path: Path
) -> None:
    output = tmp_path / "dataset"
    build = on_flink(output)
    system.wait_for("finished shard", lambda: bool(markers(output)), 300)
    before = {name: (output / ".build/done" / name).stat().st_mtime_ns for name in markers(output)}
    cluster.kill_task_manager(1)
    # Train and test have as many picture shards: most are still to be built.
    assert len(before) < 2 * SHARDS
    done = finished(build)
    assert summary(done)["digest"] == local_digest
    assert "a machine of the cluster was lost" in done.stderr
    assert "resuming in" in done.stderr
    assert cluster.overview()["taskmanagers"] == TASK_MANAGERS - 1
    after = {name: (output / ".build/done" / name).stat().st_mtime_ns for name in before}
    assert after == before


def test_an_output_that_the_workers_do_not_see_is_said(cluster: flink.Cluster, jar: Path) -> None:
    """Here nobody sees it; to a worker that is the same."""
    engine = ["--runner=FlinkRunner", f"--flink_master={cluster.address}"]
    with pytest.raises(EngineError, match="the workers do not see --output"):
        pipeline.run(
            "/nowhere/dataset",
            image_shards=["train-images-00000"],
            triplet_shards=[],
            refused=[],
            local=pipeline.LocalRun(workers=1, variants=1, variants_to_write=1),
            beam_arguments=[*engine, f"--flink_job_server_jar={jar}"],
        )


def test_ctrl_c_ends_the_job_on_the_cluster_too(
    cluster: flink.Cluster, on_flink: Any, tmp_path: Path
) -> None:
    output = tmp_path / "dataset"
    build = on_flink(output)
    system.wait_for("finished shard", lambda: bool(markers(output)), 300)
    build.send_signal(signal.SIGINT)
    done = finished(build)
    assert done.returncode == 130, done.stderr
    system.wait_for("end of the job", lambda: cluster.last_job()["state"] == "CANCELED", 60)
    assert not (output / "dataset.json").exists()
