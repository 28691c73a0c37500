"""What each engine is given beside its address, and what is said where it cannot work."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from preprocess.engines import engine as engines
from preprocess.engines import engine_setup
from preprocess.shell.errors import UsageError
from tests.test_import_rules import files, imports

FLINK = ("--runner=FlinkRunner", "--flink_master=flink.example:8081")
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
        (["--runner=apache_beam.runners.DataflowRunner"], "dataflow"),
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
    assert command["command"] == "/code/preprocess/engines/worker.sh"
    assert command["env"] == {"SHARDLINE_PYTHON": "/env/bin/python", "PYTHONPATH": "/code"}
    assert "extra_package" not in options


def test_both_ways_to_describe_workers_are_not_mixed():
    own = (*FLINK, "--environment_option=external_service_address=localhost:1")
    assert "environment_config" not in added(own)


def test_a_shared_environment_is_used_on_other_machines_where_asked_for():
    options = filled((*FLINK, "--environment_type=PROCESS"))
    assert json.loads(options["environment_config"])["env"]["SHARDLINE_PYTHON"] == FACTS.python


@pytest.mark.parametrize("arguments", [FLINK, DATAFLOW])
def test_what_the_user_gives_is_never_replaced(arguments):
    every = {name: f"own-{name}" for name in added(arguments, "gs://bucket/dataset")}
    own = [*arguments, *(f"--{name}={value}" for name, value in every.items())]
    # Which workers there are decides what they get; here it is a word that nothing knows.
    completed = engines.given(engines.completed(own, "gs://bucket/dataset", FACTS))
    assert completed.items() >= every.items()


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


@pytest.mark.parametrize("arguments", [("--runner=FlinkRunner",), ("--runner=PrismRunner",)])
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
            "'flink' is not an address; HOST:8081",
        ),
        (("--runner=SparkRunner",), "/d", "SparkRunner is not supported; FlinkRunner and"),
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
