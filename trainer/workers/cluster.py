"""The workers of a run, as TF_CONFIG names them. Does not import TensorFlow."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import os

from preprocess.shell.address import host_and_port
from preprocess.shell.errors import ConfigError
from trainer.workers.supervisor.processes import START_TOKEN

_KINDS = ("chief", "worker")
_EXAMPLE = (
    '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Several workers, and which of them this process is.

    Attributes:
      jobs: (kind, number of tasks) in the order of ranks: the chief, if any, then the workers.
      addresses: HOST:PORT of every rank.
      rank: of this process. Rank 0 writes the run directory.
    """

    jobs: tuple[tuple[str, int], ...]
    addresses: tuple[str, ...]
    rank: int

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self.addresses)

    @property
    def leader(self) -> str:
        """TensorFlow's name for rank 0."""
        return f"/job:{self.jobs[0][0]}/replica:0/task:0"

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that the workers of one cluster share: a hash of their addresses,
        keyed by the token of their start.
        """
        token = os.environ.get(START_TOKEN, "").encode()
        text = "\n".join(self.addresses).encode()
        return hmac.new(token, text, hashlib.sha256).hexdigest()[:32]

    def name(self, rank: int) -> str:
        """A worker's name in messages: `worker 1 (node1:2222)`."""
        return f"worker {rank} ({self.addresses[rank]})"


def cluster_of_environment() -> Cluster | None:
    """The cluster of TF_CONFIG; None if it names no other worker.

    Raises:
      ConfigError: it cannot be read.
    """
    text = os.environ.get("TF_CONFIG", "")
    return parse_cluster(text) if text.strip() else None


def parse_cluster(text: str) -> Cluster | None:
    """The cluster of the JSON that TensorFlow expects in TF_CONFIG; None for one process.

    Raises:
      ConfigError: it cannot be read; the message has the reason, the value and an example.
    """
    try:
        return _parse(json.loads(text))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(
            f"TF_CONFIG cannot be used ({reason}): {text}; expected something like {_EXAMPLE}"
        ) from None


def _parse(record: object) -> Cluster | None:
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    found = record.get("cluster", {})
    if not isinstance(found, dict):
        raise ValueError("cluster is not an object")
    if not found:
        if not isinstance(record.get("task", {}), dict):
            raise ValueError("task is not an object")
        return None
    others = sorted(set(found) - set(_KINDS))
    if others:
        raise ValueError(f"unsupported task type '{others[0]}'; chief and worker are supported")
    jobs, addresses = [], []
    for kind in _KINDS:
        tasks = found.get(kind, [])
        if not isinstance(tasks, list):
            raise ValueError(f"cluster.{kind} is not a list")
        for address in tasks:
            host_and_port(address)
        if tasks:
            jobs.append((kind, len(tasks)))
            addresses += tasks
    if len(found.get("chief", ())) > 1:
        raise ValueError("cluster.chief lists more than one task")
    twice = {address for address in addresses if addresses.count(address) > 1}
    if twice:
        raise ValueError(f"{min(twice)} is listed twice")
    task = record["task"]
    kind, index = task["type"], int(task.get("index", 0))
    counts = dict(jobs)
    if not 0 <= index < counts.get(kind, 0):
        raise ValueError(f"task {kind} {index} is not in the cluster")
    if len(addresses) == 1:
        return None
    rank = index + (counts.get("chief", 0) if kind == "worker" else 0)
    return Cluster(tuple(jobs), tuple(addresses), rank)
