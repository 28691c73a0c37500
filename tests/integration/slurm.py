"""A Slurm of one node on this machine: a controller, a node daemon and munge, as root."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import system

START_SECONDS = 60

# One node of two processors, whose jobs share them: tests wait for no other test's job. A job
# that is requeued may start again after 10 seconds instead of 120 (AuthInfo).
_CONFIGURATION = """
ClusterName=shardline
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=100000
ReturnToService=2
JobRequeue=1
KillWait=20
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory={megabytes} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
"""


class Cluster:
    """Its daemons, and the environment that its commands want."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid():
            pytest.skip("a Slurm of our own wants root")
        self._folder = folder
        self._programs = [
            system.command(name, package)
            for name, package in (
                ("munged", "munge"),
                ("slurmctld", "slurmctld"),
                ("slurmd", "slurmd"),
                ("sbatch", "slurm-client"),
            )
        ]
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Starts everything and waits until the node takes jobs."""
        folder, (munged, controller, node, _) = self._folder, self._programs
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        (folder / "slurm.conf").write_text(
            _CONFIGURATION.format(
                host=socket.gethostname().split(".")[0],
                controller_port=system.free_port(),
                node_port=system.free_port(),
                folder=folder,
                megabytes=_free_megabytes(),
            ),
            encoding="utf-8",
        )
        paths = {
            "key-file": key,
            "socket": folder / "munge.socket",
            "pid-file": folder / "munge.pid",
            "log-file": folder / "munge.log",
            "seed-file": folder / "munge.seed",
        }
        options = [f"--{name}={path}" for name, path in paths.items()]
        self._start([munged, "--foreground", "--force", *options], "munged")
        system.wait_for("munge's socket", (folder / "munge.socket").exists, START_SECONDS)
        self._start([controller, "-D", "-i"], "slurmctld")
        self._start([node, "-D"], "slurmd")
        system.wait_for(
            f"idle node; see the logs in {folder}",
            lambda: self.run("sinfo", "--noheader", "--format=%T").strip() == "idle",
            START_SECONDS,
        )

    def run(self, *command: str) -> str:
        """Output of one of Slurm's commands; "" where it fails."""
        return subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    def stop(self) -> None:
        """Ends jobs and daemons."""
        self.run("scancel", "--user=root")
        system.wait_for("end of all jobs", lambda: not self.run("squeue", "--noheader"), 60)
        for process in reversed(self._processes):
            process.terminate()
            process.wait(60)

    def _start(self, command: list[str], name: str) -> None:
        with open(self._folder / f"{name}.out", "wb") as output:
            self._processes.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, **self.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )


def cluster(folder: Path) -> Iterator[Cluster]:
    """For a fixture: a running cluster, ended afterwards."""
    found = Cluster(folder)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def _free_megabytes() -> int:
    """Below what the machine has, for the node would be refused otherwise."""
    text = Path("/proc/meminfo").read_text(encoding="utf-8")
    match = re.search(r"MemTotal:\s+(\d+) kB", text)
    assert match
    return int(match[1]) // 1024 * 9 // 10
