"""The edges of `engine.py`: queries the cluster, makes the files for workers, cancels the job.

Everything is checked before any work starts: an address that does not respond or a jar that is not
available is reported within seconds, not by a job that waits forever.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import secrets
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

from preprocess.engines import engine as engines
from preprocess.engines.worker_package import PACKAGE_FOLDER, build_wheel
from preprocess.shell.errors import DISK_FULL, EngineError, UsageError, first_line

SECONDS = 10  # for the cluster to answer
# Under this package in a worker, next to apache-beam; what decides bytes is among them.
LIBRARIES = (
    "absl-py",
    "google-cloud-storage",
    "google-crc32c",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pyarrow",
    "PyYAML",
    "tqdm",
)
OPTIONAL = ("albumentations",)  # for recipes that name it; where it is installed here


@dataclasses.dataclass(frozen=True)
class FlinkOverview:
    """What a JobManager says of its cluster."""

    version: str  # such as 1.19.3
    slots: int
    task_managers: int


def check(arguments: Sequence[str], output: str) -> None:
    """Raises UsageError for what cannot work, EngineError where nothing answers at the address;
    says nothing about runners that are not of `engines`.
    """
    if not engines.engine_of(arguments):
        return
    engines.check(arguments, output)
    if engines.needs_java(arguments) and not _java():
        raise UsageError(
            f"--runner={engines.given(arguments)['runner']} needs Java for Beam's job server; "
            "install a JRE (such as openjdk-17-jre-headless) or set JAVA_HOME"
        )
    where = engines.address(arguments)
    if where is not None:
        flink_jar(arguments, flink_overview(*where))


@contextlib.contextmanager
def engine(arguments: Sequence[str], output: str) -> Iterator[list[str]]:
    """Beam's arguments with all that the engine needs, to be used inside the context: a failure
    of the job leaves it as EngineError with a message, and what ends this process, such as Ctrl-C,
    cancels a job on Flink.
    """
    kind = engines.engine_of(arguments)
    where = engines.address(arguments)
    job_name = engines.given(arguments).get("job_name") or f"shardline-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="shardline-") as folder:
        facts = engines.Facts(
            python=sys.executable,
            source=PACKAGE_FOLDER,
            wheel=build_wheel(folder),
            requirements=_requirements(folder),
            job_name=job_name,
        )
        if where is not None:
            overview = flink_overview(*where)
            facts = dataclasses.replace(
                facts,
                job_server=flink_jar(arguments, overview),
                slots=overview.slots,
                task_managers=overview.task_managers,
            )
        try:
            yield engines.completed(arguments, output, facts)
        except BaseException as error:
            if where is not None:
                _cancel_flink_job(*where, job_name)
            # What was raised in a worker arrives as text; a full disk has its own words.
            full = any(f"[Errno {number}]" in str(error) for number in DISK_FULL)
            if isinstance(error, RuntimeError | OSError) and not full:
                words, passing = engines.in_words(str(error))
                # Dataflow has tried again by itself.
                raise EngineError(words, passing and kind != engines.DATAFLOW) from error
            raise


def flink_overview(host: str, port: int) -> FlinkOverview:
    """Raises EngineError if no Flink with a TaskManager answers."""
    answer = _get(host, port, "/v1/overview")
    try:
        found = FlinkOverview(
            answer["flink-version"], int(answer["slots-total"]), int(answer["taskmanagers"])
        )
    except (KeyError, TypeError, ValueError):
        raise EngineError(
            f"{host}:{port} responds, but is not Flink's JobManager; set its REST port, which is "
            "8081 unless configured otherwise"
        ) from None
    if not found.slots:
        raise EngineError(f"Flink at {host}:{port} has no TaskManager; start one", passing=True)
    return found


def flink_jar(arguments: Sequence[str], overview: FlinkOverview) -> str:
    """Path of the jar with Beam's side of Flink: the user's, or of the cluster's version, once
    downloaded. Raises UsageError or EngineError if there is none.
    """
    named = engines.given(arguments).get("flink_job_server_jar")
    if named is not None:
        if not os.path.isfile(named) and "://" not in named:
            raise UsageError(f"--flink_job_server_jar='{named}': no such file")
        return named
    from apache_beam.options.pipeline_options import FlinkRunnerOptions
    from apache_beam.utils.subprocess_server import JavaJarServer

    version = ".".join(overview.version.split(".")[:2])
    known = FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    beam = metadata.version("apache-beam")
    if version not in known:
        raise UsageError(
            f"the cluster runs Flink {overview.version}; Beam {beam} runs on {', '.join(known)}"
        )
    url = JavaJarServer.path_to_beam_jar(f":runners:flink:{version}:job-server:shadowJar")
    try:
        return str(JavaJarServer.local_jar(url))
    except (RuntimeError, OSError) as error:
        raise EngineError(
            f"cannot download Beam's job server for Flink {version} ({_reason(error)}): {url}\n"
            "download it on a machine with network access and set --flink_job_server_jar=FILE "
            "after ' -- '"
        ) from None


def _cancel_flink_job(host: str, port: int, name: str) -> None:
    # Beam's own way asks a path that Flink does not have.
    with contextlib.suppress(EngineError, OSError, KeyError, TypeError):
        for job in _get(host, port, "/v1/jobs/overview")["jobs"]:
            if job["name"] == name and job["state"] in ("CREATED", "RUNNING", "RESTARTING"):
                url = f"http://{_in_url(host)}:{port}/v1/jobs/{job['jid']}?mode=cancel"
                request = urllib.request.Request(url, method="PATCH")
                urllib.request.urlopen(request, timeout=SECONDS).close()


def _get(host: str, port: int, path: str) -> Any:
    try:
        url = f"http://{_in_url(host)}:{port}{path}"
        with urllib.request.urlopen(url, timeout=SECONDS) as response:
            return json.load(response)
    except urllib.error.HTTPError:
        return None  # some other server's
    except (ValueError, http.client.HTTPException):
        return None
    except OSError as error:
        raise _unreachable(host, port, error) from None


def _unreachable(host: str, port: int, error: OSError) -> EngineError:
    return EngineError(
        f"nothing responds at {host}:{port} ({_reason(error)}); is the cluster up, and is the "
        "port open to this machine?",
        passing=True,
    )


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        error = inner
    return getattr(error, "strerror", None) or first_line(error)[:200]


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return shutil.which(os.path.join(home, "bin", "java") if home else "java")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _requirements(folder: str) -> str:
    installed = [name for name in (*LIBRARIES, *OPTIONAL) if _version(name)]
    path = os.path.join(folder, "requirements.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{name}=={_version(name)}\n" for name in installed)
    return path


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
