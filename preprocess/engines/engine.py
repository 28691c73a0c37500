"""What an engine of many machines needs, so that a user gives its address and nothing else.

    --output=/shared/dataset  -- --runner=FlinkRunner    --flink_master=HOST:8081
    --output=gs://bucket/dir  -- --runner=DataflowRunner --project=PROJECT --region=REGION

Arguments in, arguments out: `engine_setup.py` asks the cluster and makes the files. What the
user gives himself is never replaced.

How a worker gets this package and the libraries under it (`--environment_type`):

PROCESS   each TaskManager starts `worker.sh` with the interpreter of the submitting process:
          for a cluster on this machine, or where the environment is on a disk that all share.
EXTERNAL  a worker pool next to each TaskManager, at localhost:50000: what a cluster of other
          machines gets, as TaskManagers can seldom start containers. The pool is
          `python -m apache_beam.runners.worker.worker_pool_main --service_port=50000
          --container_executable=DIR/preprocess/engines/worker.sh`, or `boot --worker_pool` of an
          image.
DOCKER    each TaskManager starts a container; `--environment_config` names the image.
LOOPBACK  the work is done in the submitting process: Beam's choice for a cluster inside it.

The image of EXTERNAL, DOCKER and of Dataflow's --sdk_container_image holds Python and
apache-beam of the submitter's versions and the packages of `engine_setup.LIBRARIES`, as
requirements.txt pins them: the versions decide the bytes. This package is staged as a wheel that
Beam's `boot` installs at the start of a worker, so code and plan are always of one version; an
image without `boot` holds this package too.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence

from preprocess.shards.workspace import NO_PLAN
from preprocess.shell.errors import UsageError
from preprocess.storage import is_remote

FLINK, DATAFLOW = "flink", "dataflow"
WORKER_POOL = "localhost:50000"  # the port that Beam's own images listen on
# Seconds before a job that lost a machine is started again for the shards that are left, for the
# first, second, ... time without a shard in between: longer together than Flink needs to strike a
# lost TaskManager off (heartbeat.timeout, 50 s by default).
WAITS = (10, 20, 40)
WORKER_IDLE_MS = 60_000
FLINK_INSIDE = ("[local]", "[auto]")  # Flink's own words: inside the job server


@dataclasses.dataclass(frozen=True)
class Facts:
    """What was found out about this machine and the cluster; "" and 0 = not needed."""

    python: str = ""  # the interpreter of this process
    source: str = ""  # the folder that holds this package
    wheel: str = ""  # this package, for workers elsewhere
    requirements: str = ""  # file of the libraries under it, pinned as they are here
    job_server: str = ""  # the jar with Beam's side of Flink
    job_name: str = ""
    slots: int = 0  # of all TaskManagers
    task_managers: int = 0


def given(arguments: Sequence[str]) -> dict[str, str]:
    """Options by name, the last value where one is given twice: --a=1 --b 2 --c."""
    found = {}
    for argument, following in zip(arguments, [*arguments[1:], "--"], strict=False):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            found[name] = value if equals or following.startswith("--") else following
    return found


def names_runner(arguments: Sequence[str]) -> bool:
    """Whether the user chose a runner; otherwise the build is local."""
    return any(argument.split("=")[0] == "--runner" for argument in arguments)


def engine_of(arguments: Sequence[str]) -> str:
    """FLINK or DATAFLOW; "" for Beam's other runners and where none is named. Raises UsageError for
    Spark's, on which no build was ever run.
    """
    runner = given(arguments).get("runner", "").rsplit(".", 1)[-1].lower().removesuffix("runner")
    if runner == "spark":
        raise UsageError(
            "--runner=SparkRunner is not supported; FlinkRunner and DataflowRunner are"
        )
    return runner if runner in (FLINK, DATAFLOW) else ""


def address(arguments: Sequence[str]) -> tuple[str, int] | None:
    """Host and port of the engine; None if it runs inside the submitting machine's job
    server, or is Google's. Raises UsageError for what is no address.
    """
    options = given(arguments)
    engine = engine_of(arguments)
    if engine == FLINK:
        master = options.get("flink_master", FLINK_INSIDE[0])
        return None if master in FLINK_INSIDE else _host_port("flink_master", master, "HOST:8081")
    return None


def is_this_machine(host: str) -> bool:
    """Whether workers at `host` share this machine's processes and files."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def needs_java(arguments: Sequence[str]) -> bool:
    """Whether Beam starts a job server here: a cluster's Flink gets its job by HTTP instead."""
    return engine_of(arguments) == FLINK and address(arguments) is None


def environment_of(arguments: Sequence[str]) -> str:
    """How workers of Flink are started; "" where Beam's choice is left alone."""
    chosen = given(arguments).get("environment_type", "").upper()
    where = address(arguments)
    if chosen or where is None:
        return chosen
    return "PROCESS" if is_this_machine(where[0]) else "EXTERNAL"


def check(arguments: Sequence[str], output: str) -> None:
    """Raises UsageError for what cannot work whatever the cluster says."""
    options = given(arguments)
    engine = engine_of(arguments)
    if engine == DATAFLOW:
        missing = [f"--{name}" for name in ("project", "region") if not options.get(name)]
        if missing:
            raise UsageError(f"--runner=DataflowRunner needs {' and '.join(missing)} after ' -- '")
        if not is_remote(output):
            raise UsageError(
                f"--output='{output}' is on this machine's disk, which Dataflow's workers do not "
                "see; give --output=gs://BUCKET/DIR"
            )
    address(arguments)
    if environment_of(arguments) == "DOCKER" and not _describes_workers(options):
        raise UsageError(
            "--environment_type=DOCKER needs --environment_config=IMAGE, with apache-beam and the "
            "packages of requirements.txt in it"
        )


def completed(arguments: Sequence[str], output: str, facts: Facts) -> list[str]:
    """The user's arguments and what their engine needs besides them."""
    engine = engine_of(arguments)
    options = given(arguments)
    if engine == FLINK:
        wanted = _flink(arguments, facts)
    elif engine == DATAFLOW:
        wanted = _dataflow(options, output, facts)
    else:
        wanted = {}
    added = {name: value for name, value in wanted.items() if name not in options}
    return [
        *arguments,
        *(f"--{name}={value}" if value else f"--{name}" for name, value in added.items()),
    ]


def in_words(failure: str) -> tuple[str, bool]:
    """What a failed job means and what to do about it, in a line or two, and whether it may do
    better when started again: where a machine was lost, or something of the engine's own failed,
    rather than our code or what the user has to mend.
    """
    for sign, words, passing in _KNOWN:
        if re.search(sign, failure):
            return words, passing
    # Of nested exceptions the innermost, of a Python traceback the last line, stand last.
    causes = re.findall(r"^\s*(?:Caused by: )?([\w.$]*(?:Error|Exception)): (.+)$", failure, re.M)
    name, said = causes[-1] if causes else ("", failure.strip().split("\n")[0])
    cause = f"{name.rsplit('.', 1)[-1]}: {said}" if name else said
    return f"the job failed: {cause[:300]}", "Traceback (most recent call last)" not in failure


# Text in a failure, what it means, and whether it is temporary.
_KNOWN = (
    (
        re.escape(NO_PLAN),
        "the workers do not see --output under its path; it must be on a disk that all of them "
        "and this machine share, or on gs://",
        False,
    ),
    (
        r"(?s)ExternalEnvironmentFactory.*Connection refused|Connection refused: \S+:50000",
        f"no worker pool answers at {WORKER_POOL} next to the TaskManagers; start one there "
        "(python -m apache_beam.runners.worker.worker_pool_main --service_port=50000), or give "
        "another --environment_type",
        False,
    ),
    (
        r"No module named '?(?:preprocess|cv2|numpy|PIL|yaml|google_crc32c|tqdm)",
        "the workers lack this package or a library of its; preprocess/engines/engine.py says what "
        "a worker's image holds",
        False,
    ),
    (
        r"Process died with exit code|Cannot run program",
        "the TaskManagers cannot start worker processes with this machine's Python; is it on a "
        "disk that they share? Else start worker pools and give --environment_type=EXTERNAL",
        False,
    ),
    (
        r"NoResourceAvailableException|[Ss]lot request.*time",
        "the cluster has too few free slots; end other jobs, add TaskManagers, or give a smaller "
        "--parallelism=N after ' -- '",
        True,
    ),
    (
        r"(?i)(?:lost connection to|closed by remote) task manager|heartbeat of TaskManager|"
        r"TaskManager .{0,80}(?:is no longer reachable|disconnected)",
        "a machine of the cluster was lost",
        True,
    ),
)


def _flink(arguments: Sequence[str], facts: Facts) -> dict[str, str]:
    if address(arguments) is None:
        return {}
    return {
        # By HTTP to the JobManager, with all artifacts inside the jar: no Java here, no folder
        # that this machine and the cluster would have to share for them.
        "flink_submit_uber_jar": "",
        "flink_job_server_jar": facts.job_server,
        "job_name": facts.job_name,
        "parallelism": str(facts.slots),
        # One Python process a slot: threads of one would wait for each other.
        "sdk_worker_parallelism": str(max(1, facts.slots // max(1, facts.task_managers))),
        # Else the workers end and start again, with seconds of imports, between any two stages.
        "environment_cache_millis": str(WORKER_IDLE_MS),
        **_environment(arguments, facts),
    }


def _dataflow(options: Mapping[str, str], output: str, facts: Facts) -> dict[str, str]:
    temporary = options.get("temp_location") or f"{output.rstrip('/')}/.build/temp"
    wanted = {
        "temp_location": temporary,
        "staging_location": f"{temporary.rstrip('/')}/staging",
        "job_name": facts.job_name,
        "extra_package": facts.wheel,
    }
    if "sdk_container_image" not in options:
        # Workers install them by name; Beam would else download and stage each as source.
        wanted |= {"requirements_file": facts.requirements, "requirements_cache": "skip"}
    return wanted


def _environment(arguments: Sequence[str], facts: Facts) -> dict[str, str]:
    kind = environment_of(arguments)
    wanted = {"environment_type": kind}
    if kind in ("EXTERNAL", "DOCKER"):
        wanted["extra_package"] = facts.wheel
    if _describes_workers(given(arguments)):
        return wanted
    if kind == "PROCESS":
        command = {
            "command": f"{facts.source}/preprocess/engines/worker.sh",
            "env": {"SHARDLINE_PYTHON": facts.python, "PYTHONPATH": facts.source},
        }
        return wanted | {"environment_config": json.dumps(command)}
    if kind == "EXTERNAL":
        wanted["environment_config"] = WORKER_POOL
    return wanted


def _describes_workers(options: Mapping[str, str]) -> bool:
    return bool(
        {"environment_config", "environment_option", "environment_options"} & options.keys()
    )


def _host_port(option: str, text: str, example: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\w+://)?(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):(\d{1,5})/?", text)
    if not match:
        raise UsageError(f"--{option}='{text}' is not an address; {example} is expected")
    return match[1].strip("[]"), int(match[2])
