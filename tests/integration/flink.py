"""A Flink cluster of one JobManager and several TaskManagers, each a process on localhost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.integration import system

VERSION = "1.19.3"
SLOTS = 2  # of a TaskManager
START_SECONDS = 120  # a JVM on two busy cores

# As Flink's own configuration file has it: it uses what Java 17 keeps to itself.
_OPENED = (
    *("java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect"),
    *("java.text", "java.time", "java.util", "java.util.concurrent"),
    *("java.util.concurrent.atomic", "java.util.concurrent.locks"),
)
_JAVA_OPTIONS = [
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED),
]
_LOGGING = """rootLogger.level = INFO
rootLogger.appenderRef.out.ref = Out
appender.out.name = Out
appender.out.type = Console
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %-5p %c{1} %m%n
"""


def distribution() -> Path:
    """Folder with Flink's `lib` and `bin`, from the package that PyFlink runs on."""

    def make(path: Path) -> None:
        archive = system.pip_download(f"apache-flink-libraries=={VERSION}", path.parent / "sdist")
        with tarfile.open(archive) as members:
            top = f"apache-flink-libraries-{VERSION}/deps"
            for member in members:
                if member.name.startswith((f"{top}/lib/", f"{top}/bin/")):
                    members.extract(member, path.parent, filter="data")
        (path.parent / top).rename(path)

    return system.fetched(f"flink-{VERSION}", make)


def job_server() -> Path:
    """The jar with Beam's side of Flink: Beam's own of the installed version, or put together."""
    maven = system.command("mvn", "maven")
    beam = metadata.version("apache-beam")
    name = f"beam-runners-flink-{VERSION.rsplit('.', 1)[0]}-job-server"
    repository = system.CACHE / "maven"
    quiet = [maven, "-B", "-q", f"-Dmaven.repo.local={repository}", "-Dmaven.artifact.threads=12"]

    def make(path: Path) -> None:
        try:
            artifact = f"org.apache.beam:{name}:{beam}"
            system.run([*quiet, "dependency:get", f"-Dartifact={artifact}", "-Dtransitive=false"])
            jar = repository / "org/apache/beam" / name / beam / f"{name}-{beam}.jar"
        except subprocess.CalledProcessError as error:
            print(f"putting the job server together: {system.reason(error)}")
            folder = path.parent / "project"
            folder.mkdir()
            pom = Path(__file__).with_name("flink-job-server.pom.xml")
            shutil.copy(pom, folder / "pom.xml")
            system.run([*quiet, "package"], cwd=folder)
            jar = folder / "target" / "flink-job-server-1.jar"
        shutil.copy(jar, path)

    return system.fetched(f"{name}-{beam}.jar", make)


class Cluster:
    """A JobManager and TaskManagers by number; their logs are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.java = system.command("java", "openjdk-17-jre-headless", "default-jre-headless")
        self.flink = distribution()
        self.port = system.free_port()
        self._rpc = system.free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def address(self) -> str:
        """What `--flink_master` is given."""
        return f"localhost:{self.port}"

    def start(self, task_managers: int) -> None:
        """Starts what is not running and waits until every slot is there."""
        if "jobmanager" not in self._processes:
            main = "runtime.entrypoint.StandaloneSessionClusterEntrypoint"
            self._start("jobmanager", main, ["-Xmx384m"], [])
        for number in range(task_managers):
            if f"taskmanager{number}" not in self._processes:
                self._start_task_manager(f"taskmanager{number}")
        system.wait_for(
            f"{task_managers} TaskManagers; see the logs in {self.folder}",
            lambda: self.overview().get("slots-available") == SLOTS * task_managers,
            START_SECONDS,
        )

    def kill_task_manager(self, number: int) -> None:
        """kill -9."""
        process = self._processes.pop(f"taskmanager{number}")
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Ends every process of the cluster, those with worker processes first."""
        for name, process in sorted(self._processes.items(), reverse=True):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            del self._processes[name]

    def get(self, path: str) -> Any:
        """An answer of the REST API."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
            return json.load(answer)

    def overview(self) -> dict[str, Any]:
        """What is there; nothing while the JobManager starts."""
        try:
            return dict(self.get("/v1/overview"))
        except OSError:
            return {}

    def last_job(self) -> dict[str, Any]:
        """The job that was started last, with its vertices."""
        jobs = self.get("/v1/jobs/overview")["jobs"]
        return dict(self.get(f"/v1/jobs/{max(jobs, key=lambda job: job['start-time'])['jid']}"))

    def task_managers_of(self, job: dict[str, Any], step: str) -> set[str]:
        """Which TaskManagers finished tasks of the first step of this name."""
        vertex = next(v for v in job["vertices"] if step in v["name"])
        found = self.get(f"/v1/jobs/{job['jid']}/vertices/{vertex['id']}/taskmanagers")
        return {t["taskmanager-id"] for t in found["taskmanagers"] if t["status"] == "FINISHED"}

    def _start_task_manager(self, name: str) -> None:
        self._configure(name)
        # Flink computes the sizes of its memory areas in a process before.
        said = system.run(
            [
                *(self.java, "-cp", self._classpath(["bin/bash-java-utils.jar"])),
                *("org.apache.flink.runtime.util.bash.BashJavaUtils", "GET_TM_RESOURCE_PARAMS"),
                *("--configDir", self.folder / name),
            ]
        )
        sign = "BASH_JAVA_UTILS_EXEC_RESULT:"
        memory, areas = (x.removeprefix(sign).split() for x in said.splitlines() if sign in x)
        arguments = [*areas, f"-Dtaskmanager.resource-id={name}"]
        self._start(name, "runtime.taskexecutor.TaskManagerRunner", memory, arguments)

    def _start(self, name: str, main: str, memory: list[str], arguments: list[str]) -> None:
        folder = self._configure(name)
        with open(folder / "log.txt", "wb") as log:
            self._processes[name] = subprocess.Popen(
                [
                    *(self.java, *_JAVA_OPTIONS, *memory),
                    f"-Dlog4j.configurationFile={folder / 'log4j.properties'}",
                    *("-cp", self._classpath([]), f"org.apache.flink.{main}"),
                    *("--configDir", str(folder), *arguments),
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
            )

    def _classpath(self, first: list[str]) -> str:
        jars = sorted((self.flink / "lib").glob("*.jar"))
        return os.pathsep.join(str(jar) for jar in [*(self.flink / f for f in first), *jars])

    def _configure(self, name: str) -> Path:
        folder = self.folder / name
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        settings = {
            "jobmanager.rpc.address": "localhost",
            "jobmanager.bind-host": "localhost",
            "jobmanager.rpc.port": self._rpc,
            "jobmanager.memory.process.size": "1000m",
            "rest.address": "localhost",
            "rest.bind-address": "localhost",
            "rest.port": self.port,
            "taskmanager.host": "localhost",
            "taskmanager.bind-host": "localhost",
            "taskmanager.numberOfTaskSlots": SLOTS,
            "taskmanager.memory.flink.size": "520m",
            "taskmanager.memory.jvm-metaspace.size": "192m",
            "taskmanager.memory.jvm-overhead.max": "192m",
            "taskmanager.memory.managed.fraction": "0.15",
            # A lost TaskManager is noticed in seconds; 50 are the default.
            "heartbeat.interval": 1000,
            "heartbeat.timeout": 8000,
            "io.tmp.dirs": folder / "tmp",
            "web.upload.dir": folder / "tmp",
        }
        text = "".join(f"{key}: {value}\n" for key, value in settings.items())
        (folder / "flink-conf.yaml").write_text(text)
        (folder / "log4j.properties").write_text(_LOGGING)
        return folder


def cluster(folder: Path, task_managers: int) -> Iterator[Cluster]:
    """A running cluster, for a fixture."""
    found = Cluster(folder)
    try:
        found.start(task_managers)
        yield found
    finally:
        found.stop()
