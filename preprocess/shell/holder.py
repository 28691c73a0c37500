"""Which process holds a lock, as written into the lock for other processes and machines to read."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import socket
import time

from preprocess.shell.process import machine, start_time


@dataclasses.dataclass(frozen=True)
class Holder:
    """What a lock says of the process that made it."""

    token: str  # another one for each time the lock is taken
    owner: str
    host: str
    pid: int
    since: str  # UTC, for people
    machine: str  # boot and process namespace; "" if they are not known
    started: str  # start time of the process in clock ticks since boot, as pids come again

    @classmethod
    def this_process(cls, owner: str) -> Holder:
        """The holder that this process would be."""
        return cls(
            token=secrets.token_hex(8),
            owner=owner,
            host=socket.gethostname(),
            pid=os.getpid(),
            since=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
            machine=machine(),
            started=_started(os.getpid()),
        )

    @classmethod
    def read(cls, data: bytes) -> Holder:
        """The inverse of `data`; a lock of unknown content has an unknown holder."""
        try:
            holder = cls(**json.loads(data))
        except (ValueError, TypeError, RecursionError):
            return _UNKNOWN
        kinds = (type(getattr(holder, field.name)) for field in dataclasses.fields(cls))
        return holder if list(kinds) == [str, str, str, int, str, str, str] else _UNKNOWN

    @property
    def data(self) -> bytes:
        """The lock's content."""
        return json.dumps(dataclasses.asdict(self), indent=1).encode("utf-8")

    @property
    def is_local(self) -> bool:
        """Whether it is a process of this machine, so that `gone` is certain either way."""
        return bool(self.machine) and self.machine == machine()

    @property
    def gone(self) -> bool:
        """Whether this surely is a process of this machine that has ended."""
        return self.is_local and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"{self.owner} on {self.host}, process {self.pid}, since {self.since}"


_UNKNOWN = Holder("", "something", "an unknown machine", 0, "an unknown time", "", "")


def _started(pid: int) -> str:
    """As the lock has it; "" for a process that has ended."""
    return str(start_time(pid) or "")
