"""What a cluster answers: whether a build starts, what it is told, when it is tried again."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from preprocess.engines import beam_job as pipeline
from preprocess.engines import engine as engines
from preprocess.engines import engine_setup
from preprocess.shards.workspace import Workspace
from preprocess.shell.errors import EngineError, UsageError
from tests.preprocess.engines.test_engines import FLINK


@pytest.fixture
def answers() -> dict[str, object]:
    return {"/v1/overview": {"flink-version": "1.19.3", "slots-total": 4, "taskmanagers": 2}}


@pytest.fixture
def requests() -> list[str]:
    return []


@pytest.fixture
def job_manager(answers: dict[str, object], requests: list[str]) -> Iterator[str]:
    """A server that answers as Flink's REST API does; its HOST:PORT."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(f"{self.command} {self.path}")
            known = self.path in answers
            self.send_response(200 if known else 404)
            self.end_headers()
            if known and self.command == "GET":
                self.wfile.write(json.dumps(answers[self.path]).encode())

        do_PATCH = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def on_flink(job_manager: str, tmp_path: Path) -> list[str]:
    jar = tmp_path / "server.jar"
    jar.write_bytes(b"")
    return [
        "--runner=FlinkRunner",
        f"--flink_master={job_manager}",
        f"--flink_job_server_jar={jar}",
    ]


def test_the_cluster_says_how_many_slots_there_are(on_flink):
    engine_setup.check(on_flink, "/shared/dataset")
    with engine_setup.engine(on_flink, "/shared/dataset") as arguments:
        options = engines.given(arguments)
    assert (options["parallelism"], options["sdk_worker_parallelism"]) == ("4", "2")


def test_a_port_that_nothing_listens_on_is_said_with_its_address(job_manager, on_flink):
    closed = [a.replace(job_manager, "127.0.0.1:1") for a in on_flink]
    with pytest.raises(EngineError, match=r"nothing responds at 127.0.0.1:1 \(Connection refused"):
        engine_setup.check(closed, "/d")


def test_another_server_at_the_address_is_no_flink(on_flink, answers):
    answers["/v1/overview"] = {"hello": "world"}
    with pytest.raises(EngineError, match="is not Flink's JobManager"):
        engine_setup.check(on_flink, "/d")
    answers.clear()
    with pytest.raises(EngineError, match="is not Flink's JobManager"):
        engine_setup.check(on_flink, "/d")


def test_a_cluster_without_task_managers_is_said(on_flink, answers):
    answers["/v1/overview"] = {"flink-version": "1.19.3", "slots-total": 0, "taskmanagers": 0}
    with pytest.raises(EngineError, match="no TaskManager"):
        engine_setup.check(on_flink, "/d")


def test_a_jar_that_is_not_there_is_said(on_flink):
    with pytest.raises(UsageError, match=r"'/nowhere.jar': no such file"):
        engine_setup.check([*on_flink, "--flink_job_server_jar=/nowhere.jar"], "/d")


def test_a_flink_that_beam_does_not_know_is_said_with_those_it_does(on_flink, answers):
    answers["/v1/overview"] = {"flink-version": "9.1.0", "slots-total": 4, "taskmanagers": 2}
    with pytest.raises(UsageError, match=r"Flink 9.1.0; Beam \S+ runs on .*1.19"):
        engine_setup.check(on_flink[:2], "/d")


def test_without_java_a_flink_in_the_job_server_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"needs Java.*install a JRE"):
        engine_setup.check(("--runner=FlinkRunner",), "/d")


def test_what_ends_the_build_ends_the_job_of_its_name_only(on_flink, answers, requests):
    def job(name: str, identity: str, state: str) -> dict[str, str]:
        return {"name": name, "jid": identity, "state": state}

    answers["/v1/jobs/overview"] = {
        "jobs": [
            job("mine", "a1", "RUNNING"),
            job("mine", "a2", "FINISHED"),
            job("theirs", "b1", "RUNNING"),
        ]
    }
    with (
        pytest.raises(KeyboardInterrupt),
        engine_setup.engine([*on_flink, "--job_name=mine"], "/d"),
    ):
        raise KeyboardInterrupt
    assert [r for r in requests if r.startswith("PATCH")] == ["PATCH /v1/jobs/a1?mode=cancel"]


@pytest.fixture
def engine_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, object]:
    """Jobs that fail, each with the next of `errors`; the one after them does well. Before a
    failure, `marks` shards get done.
    """
    story: dict[str, object] = {"errors": [], "marks": 0, "jobs": 0, "waits": []}
    done = tmp_path / ".build" / "done"
    done.mkdir(parents=True)

    def engine(arguments: Sequence[str], output: str) -> object:
        story["jobs"] += 1
        for _ in range(story["marks"]):
            (done / f"{len(os.listdir(done))}.json").touch()
        if story["errors"]:
            raise story["errors"].pop(0)
        raise StopIteration  # where the pipeline would start

    monkeypatch.setattr(engine_setup, "engine", engine)
    monkeypatch.setattr(pipeline.time, "sleep", story["waits"].append)
    story["dataset"] = str(tmp_path)
    assert Workspace(str(tmp_path)).marker_times() == {}
    return story


def run_failing(story: dict[str, object]) -> None:
    pipeline.run(story["dataset"], ["a"], [], [], pipeline.LocalRun(1, 1, 1), FLINK)


def test_a_lost_machine_is_waited_for_longer_as_long_as_nothing_gets_done(engine_fails):
    engine_fails["errors"] = [EngineError("lost", passing=True)] * 9
    with pytest.raises(EngineError, match="lost"):
        run_failing(engine_fails)
    assert engine_fails["waits"] == [*engines.WAITS[1:]]


def test_shards_done_in_between_start_the_count_anew(engine_fails):
    engine_fails["errors"] = [EngineError("lost", passing=True)] * 9
    engine_fails["marks"] = 1
    with pytest.raises(StopIteration):
        run_failing(engine_fails)
    assert engine_fails["waits"] == [engines.WAITS[0]] * 9


def test_what_does_not_pass_is_not_tried_again(engine_fails):
    engine_fails["errors"] = [EngineError("broken")]
    engine_fails["marks"] = 1
    with pytest.raises(EngineError, match="broken"):
        run_failing(engine_fails)
    assert engine_fails["jobs"] == 1


def test_a_full_disk_on_a_worker_keeps_its_own_words():
    failure = RuntimeError("OSError: [Errno 28] No space left on device [while running]")
    with (
        pytest.raises(RuntimeError, match="Errno 28"),
        engine_setup.engine(("--runner=FlinkRunner",), "/d"),
    ):
        raise failure


def test_a_job_manager_that_goes_away_is_a_failure_that_passes():
    failure = OSError("Max retries exceeded: [Errno 111] Connection refused")
    with pytest.raises(EngineError) as caught, engine_setup.engine(("--runner=FlinkRunner",), "/d"):
        raise failure
    assert caught.value.passing
