"""What each engine is given beside its address, and what is said where it cannot work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from preprocess import engine_setup, engines, pipeline, worker, worker_package
from preprocess.errors import EngineError, UsageError
from preprocess.workspace import Workspace
from tests.preprocess import made
from tests.test_import_rules import files, imports

FLINK = ("--runner=FlinkRunner", "--flink_master=flink.example:8081")
SPARK = ("--runner=SparkRunner", "--spark_master_url=spark://spark.example:7077")
DATAFLOW = ("--runner=DataflowRunner", "--project=p", "--region=europe-west4")
FACTS = engines.Facts(
    python="/env/bin/python",
    source="/code",
    wheel="/tmp/x/package.whl",
    requirements="/tmp/x/requirements.txt",
    job_server="/jars/server.jar",
    job_name="shardline-1",
    slots=6,
    task_managers=3,
)


def filled(arguments: Sequence[str], output: str = "/shared/dataset") -> dict[str, str]:
    return engines.given(engines.completed(arguments, output, FACTS))


def added(arguments: Sequence[str], output: str = "/shared/dataset") -> set[str]:
    return filled(arguments, output).keys() - engines.given(arguments).keys()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ""),
        (["--runner=FlinkRunner"], "flink"),
        (["--runner", "flink"], "flink"),
        (["--runner=apache_beam.runners.SparkRunner"], "spark"),
        (["--runner=DirectRunner", "--runner=DataflowRunner"], "dataflow"),
        (["--runner=PrismRunner"], ""),
    ],
)
def test_the_engine_is_known_however_it_is_written(arguments, expected):
    assert engines.engine_of(arguments) == expected


def test_options_are_read_in_both_ways_and_the_last_wins():
    arguments = ["--a=1", "--b", "2", "--c", "--a=3", "--d"]
    assert engines.given(arguments) == {"a": "3", "b": "2", "c": "", "d": ""}


def test_flink_on_other_machines_gets_a_worker_pool_beside_each_task_manager():
    """6 slots on 3 TaskManagers are 2 slots, so 2 worker processes, on each."""
    options = filled(FLINK)
    assert options["environment_type"] == "EXTERNAL"
    assert options["environment_config"] == "localhost:50000"
    assert options["extra_package"] == FACTS.wheel
    assert options["parallelism"] == "6"
    assert options["sdk_worker_parallelism"] == "2"
    assert options["flink_submit_uber_jar"] == ""
    assert options["flink_job_server_jar"] == FACTS.job_server
    assert options["job_name"] == "shardline-1"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "http://127.1.2.3", "[::1]"])
def test_flink_on_this_machine_starts_our_own_interpreter(host):
    options = filled(("--runner=FlinkRunner", f"--flink_master={host}:8081"))
    assert options["environment_type"] == "PROCESS"
    command = json.loads(options["environment_config"])
    assert command["command"] == "/code/preprocess/worker.sh"
    assert command["env"] == {"SHARDLINE_PYTHON": "/env/bin/python", "PYTHONPATH": "/code"}
    assert "extra_package" not in options


def test_both_ways_to_describe_workers_are_not_mixed():
    own = (*FLINK, "--environment_option=external_service_address=localhost:1")
    assert "environment_config" not in added(own)


def test_a_shared_environment_is_used_on_other_machines_where_asked_for():
    options = filled((*FLINK, "--environment_type=PROCESS"))
    assert json.loads(options["environment_config"])["env"]["SHARDLINE_PYTHON"] == FACTS.python


@pytest.mark.parametrize("arguments", [FLINK, SPARK, DATAFLOW])
def test_what_the_user_gives_is_never_replaced(arguments):
    every = {name: f"own-{name}" for name in added(arguments, "gs://bucket/dataset")}
    own = [*arguments, *(f"--{name}={value}" for name, value in every.items())]
    # Which workers there are decides what they get; here it is a word that nothing knows.
    completed = engines.given(engines.completed(own, "gs://bucket/dataset", FACTS))
    assert completed.items() >= every.items()


def test_spark_stages_where_all_workers_read():
    options = filled(SPARK)
    assert options["artifacts_dir"] == "/shared/dataset/.build/staging"
    assert options["environment_type"] == "EXTERNAL"


def test_dataflow_gets_staging_beside_the_output_and_the_libraries_by_name():
    options = filled(DATAFLOW, "gs://bucket/dataset/")
    assert options["temp_location"] == "gs://bucket/dataset/.build/temp"
    assert options["staging_location"] == "gs://bucket/dataset/.build/temp/staging"
    assert options["extra_package"] == FACTS.wheel
    assert options["requirements_file"] == FACTS.requirements
    assert options["requirements_cache"] == "skip"


def test_the_libraries_are_pinned_as_they_are_here_and_are_all_that_is_imported():
    """Whatever the package imports beyond the standard library, Beam and what Beam needs."""
    from importlib import metadata

    with engine_setup.engine(DATAFLOW, "gs://bucket/dataset") as arguments:
        path = Path(engines.given(arguments)["requirements_file"])
        pins = dict(line.split("==") for line in path.read_text().splitlines())
    assert all(metadata.version(name) == version for name, version in pins.items())
    of_beam = {"apache_beam", "google", "grpc", "requests"}
    roots = {name.split(".")[0] for file in files("preprocess") for name in imports(file)}
    packages = metadata.packages_distributions()
    beyond = roots - set(sys.stdlib_module_names) - of_beam - {"preprocess"}
    needed = {name for root in beyond for name in packages.get(root, [root])}
    known = {name.lower() for name in (*engine_setup.LIBRARIES, *engine_setup.OPTIONAL)}
    assert {name.lower() for name in needed} <= known | {"opencv-python"}


def test_an_image_of_the_users_brings_its_own_libraries():
    assert "requirements_file" not in filled(
        (*DATAFLOW, "--sdk_container_image=registry.example/worker:1"), "gs://bucket/dataset"
    )


@pytest.mark.parametrize(
    "arguments", [("--runner=FlinkRunner",), ("--runner=SparkRunner",), ("--runner=PrismRunner",)]
)
def test_an_engine_inside_this_machine_is_left_to_beam(arguments):
    assert added(arguments) == set()


@pytest.mark.parametrize(
    ("arguments", "output", "said"),
    [
        (DATAFLOW, "/data/dataset", "on this machine's disk.*gs://BUCKET/DIR"),
        (DATAFLOW[:2], "gs://b/d", "needs --region after"),
        (DATAFLOW[:1], "gs://b/d", "needs --project and --region after"),
        (
            ("--runner=FlinkRunner", "--flink_master=flink"),
            "/d",
            "'flink' is no address; HOST:8081",
        ),
        (("--runner=SparkRunner", "--spark_master_url=yarn"), "/d", "spark://HOST:7077"),
        ((*FLINK, "--environment_type=DOCKER"), "/d", "DOCKER needs --environment_config=IMAGE"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_asked(arguments, output, said):
    with pytest.raises(UsageError, match=said):
        engine_setup.check(arguments, output)


FAILURES = [
    (
        "Caused by: java.lang.RuntimeException: Error received from SDK harness: Traceback (most "
        "recent call last):\n  File x\nFileNotFoundError: no plan in /data/.build [while running]",
        "the workers do not see --output",
        False,
    ),
    (
        "x.RemoteTransportException: Connection unexpectedly closed by remote task manager "
        "'host/10.0.0.7:4'. This might indicate that the remote task manager was lost.",
        "a machine of the cluster was lost",
        True,
    ),
    (
        "Caused by: java.util.concurrent.TimeoutException: Heartbeat of TaskManager with id t-1 "
        "timed out.",
        "a machine of the cluster was lost",
        True,
    ),
    (
        "Caused by: x.AnnotatedConnectException: finishConnect(..) failed: Connection refused: "
        "localhost/127.0.0.1:50000\nCaused by: java.net.ConnectException: Connection refused",
        "no worker pool answers",
        False,
    ),
    ("ModuleNotFoundError: No module named 'cv2'", "the workers lack", False),
    (
        "IllegalStateException: Process died with exit code 1",
        "the TaskManagers cannot start worker",
        False,
    ),
    (
        "Caused by: x.NoResourceAvailableException: Could not acquire",
        "the cluster has too few free slots",
        True,
    ),
    (
        "failed in state FAILED: java.lang.Exception: outer\nCaused by: a.b.InnerError: this one",
        "the job failed: InnerError: this one",
        True,
    ),
    (
        'Traceback (most recent call last):\n  File "x.py", line 1\nZeroDivisionError: division',
        "the job failed: ZeroDivisionError: division",
        False,
    ),
    ("something else", "the job failed: something else", True),
]


@pytest.mark.parametrize(("failure", "said", "passing"), FAILURES)
def test_a_failure_is_put_in_words_and_known_to_pass_or_not(failure, said, passing):
    words, passes = engines.in_words(failure)
    assert words.startswith(said)
    assert passes == passing


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
    with pytest.raises(EngineError, match=r"nothing answers at 127.0.0.1:1 \(Connection refused"):
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


def test_without_java_spark_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"needs Java.*install a JRE"):
        engine_setup.check(SPARK, "/d")


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
    pipeline.run(story["dataset"], ["a"], [], [], 1, 1, 1, FLINK)


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
    with pytest.raises(RuntimeError, match="Errno 28"), engine_setup.engine(SPARK, "/d"):
        raise failure


def test_a_job_manager_that_goes_away_is_a_failure_that_passes():
    failure = OSError("Max retries exceeded: [Errno 111] Connection refused")
    with pytest.raises(EngineError) as caught, engine_setup.engine(SPARK, "/d"):
        raise failure
    assert caught.value.passing


@pytest.mark.slow
def test_the_package_installs_without_a_network_and_works_from_there(tmp_path):
    wheel = worker_package.build_wheel(str(tmp_path))
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", str(target), wheel], check=True, capture_output=True)
    code = (
        "import preprocess.pipeline, preprocess.augment as a\n"
        "print(preprocess.__file__, a.load_recipe('faces').digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**made.environment(), "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    where, digest = done.stdout.split()
    assert where.startswith(str(target))
    from preprocess.augment import load_recipe

    assert digest == load_recipe("faces").digest


def test_the_wheel_is_named_by_its_content(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (Path(worker_package.build_wheel(str(tmp_path / x))) for x in "ab")
    assert first.name == second.name


def test_the_worker_script_starts_the_interpreter_it_is_told_to(tmp_path):
    """It shows what it would run: `echo` stands for Python."""
    script = Path(worker.__file__).with_name("worker.sh")
    done = subprocess.run(
        [str(script), "--id=1-1", "--provision_endpoint=localhost:1"],
        env={"SHARDLINE_PYTHON": "/bin/echo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "-m preprocess.worker --id=1-1 --provision_endpoint=localhost:1\n"


def test_a_worker_asks_the_engine_for_what_a_local_one_finds_in_its_environment(monkeypatch):
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as messages
    from apache_beam.portability.api import beam_provision_api_pb2_grpc as service

    seen = {}

    class Provision(service.ProvisionServiceServicer):
        def GetProvisionInfo(self, request: object, context: grpc.ServicerContext) -> object:
            seen.update(context.invocation_metadata())
            answer = messages.GetProvisionInfoResponse()
            answer.info.control_endpoint.url = "localhost:7"
            answer.info.logging_endpoint.url = "localhost:8"
            answer.info.pipeline_options["beam:option:job_name:v1"] = "x"
            answer.info.runner_capabilities.append("one")
            return answer

    server = grpc.server(futures.ThreadPoolExecutor(1))
    service.add_ProvisionServiceServicer_to_server(Provision(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setattr(os, "environ", {})
    try:
        worker.provision(["--id=3-1", f"--provision_endpoint=127.0.0.1:{port}"])
    finally:
        server.stop(None)
    assert seen["worker_id"] == "3-1"
    assert os.environ["WORKER_ID"] == "3-1"
    assert os.environ["CONTROL_API_SERVICE_DESCRIPTOR"].split() == ["url:", '"localhost:7"']
    assert os.environ["LOGGING_API_SERVICE_DESCRIPTOR"].split() == ["url:", '"localhost:8"']
    assert json.loads(os.environ["PIPELINE_OPTIONS"]) == {"beam:option:job_name:v1": "x"}
    assert os.environ["RUNNER_CAPABILITIES"] == "one"


def test_a_local_worker_finds_everything_in_its_environment(monkeypatch):
    monkeypatch.setattr(os, "environ", {"WORKER_ID": "w"})
    worker.provision([])
    assert dict(os.environ) == {"WORKER_ID": "w"}
