"""What a user asks for: one specification, whatever runs it.

A `Spec` is complete and checked: what renders it asks nothing and refuses nothing any more.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import Any

from launch.gpus import Gpu, parse_gpu
from trainer.errors import UsageError

BACKENDS = ("local", "job", "jobset", "slurm", "flink", "dataflow")
# Which of them can run a verb; the first is the default.
BACKENDS_OF = {
    "train": ("local", "job", "jobset", "slurm"),
    "search": ("local", "job", "slurm"),
    "preprocess": ("local", "job", "slurm", "flink", "dataflow"),
    "dataservice": ("job",),
    "tensorboard": ("local", "job"),
}
KUBERNETES = ("job", "jobset", "flink")
VERBS = ("train", "preprocess", "search", "dataservice", "tensorboard")

# A pod's host name is NAME-INDEX, or NAME-worker-0-INDEX for JobSet, and a host name's label
# holds 63 characters (RFC 1123); 44 leave room for both and for what belongs to the run.
NAME_LENGTH = 44
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(Mi|Gi|Ti)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
# Words in the name of a variable that say its value is no one's business.
_SECRET_WORDS = re.compile(
    r"secret|passw|token|api_?key|access_?key|private_?key|credential", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Secret:
    """One key of a Kubernetes secret as an environment variable; its value is never seen here."""

    name: str
    key: str
    variable: str


@dataclasses.dataclass(frozen=True)
class Mount:
    """A volume claim (Kubernetes) and where it appears."""

    claim: str
    path: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """One run. Sizes are of one worker; times are in seconds."""

    verb: str
    name: str
    backend: str
    arguments: tuple[str, ...]  # flags of the command that runs in each worker
    workers: int = 1
    gpu: Gpu | None = None
    cpus: int = 4
    memory: str = "16Gi"
    shared_memory: str = "2Gi"  # /dev/shm, part of `memory`
    scratch: str = "20Gi"  # /tmp and caches, on the node's disk
    image: str = ""
    namespace: str = "shardline"
    service_account: str = "trainer"
    queue: str = ""
    priority: str = ""
    spot: bool = False
    max_restarts: int = 3
    deadline: int = 7 * 86400
    grace: int = 120
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[Secret, ...] = ()
    mounts: tuple[Mount, ...] = ()
    data_workers: int = 0
    tensorboard: bool = False
    smoke: bool = False
    time_limit: int = 0  # Slurm: of one life; 0 = the deadline
    partition: str = ""  # Slurm
    account: str = ""  # Slurm

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.backend not in BACKENDS_OF[self.verb]:
            raise UsageError(
                f"--backend={self.backend}: {self.verb} runs on {', '.join(BACKENDS_OF[self.verb])}"
            )
        if self.backend in KUBERNETES:
            _check_image(self.image)
        if self.workers > 1 and self.verb not in ("train", "search"):
            raise UsageError(
                f"--workers={self.workers}: {self.verb} is one process here; `-- --workers=N` "
                "are the threads or processes of a local build"
            )
        for name, least in (("workers", 1), ("max_restarts", 0), ("deadline", 60), ("grace", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name}={getattr(self, name)}: {least} at least")
        for name in ("memory", "shared_memory", "scratch"):
            quantity(name, getattr(self, name))
        if quantity("shared_memory", self.shared_memory) >= quantity("memory", self.memory):
            raise UsageError(
                f"--shared_memory={self.shared_memory} counts against --memory={self.memory}; "
                "make it smaller"
            )
        # Slurm's signal comes up to a minute earlier than asked for (sbatch(1), --signal).
        if self.time_limit and self.time_limit <= self.grace + 60:
            raise UsageError(
                f"--time_limit={self.time_limit}s leaves no time to train: workers are told to "
                f"end --grace={self.grace}s and up to a minute before it"
            )
        if self.spot and self.grace > 15 and self.backend in KUBERNETES:
            # Google's spot nodes give ordinary pods 15 of their 30 seconds.
            object.__setattr__(self, "grace", 15)
        for name, value in self.env:
            if _SECRET_WORDS.search(name):
                raise UsageError(
                    f"--env={name}=...: that looks like a secret, and would stand in the manifest; "
                    f"use --secret=NAME:KEY:{name}"
                )
            if "\0" in value:
                raise UsageError(f"--env={name}: its value holds a NUL")

    @property
    def gang(self) -> bool:
        """Whether the workers train together: they start, fail and go on as one."""
        return self.verb == "train" and self.workers > 1

    @property
    def apart(self) -> bool:
        """Whether there are several workers that share no step: each ends and fails alone."""
        return self.workers > 1 and not self.gang

    @property
    def command(self) -> tuple[str, ...]:
        """The command line of one worker."""
        if self.verb == "preprocess":
            return ("python", "-m", "preprocess", "build", *self.arguments)
        if self.smoke:
            return ("python", "-m", "launch.smoke", *self.arguments)
        return ("python", "-m", "trainer", self.verb, *self.arguments)

    def flag(self, name: str) -> str:
        """The value of `--NAME=VALUE` among the worker's arguments; "" where it is not there."""
        return next(
            (a.partition("=")[2] for a in self.arguments if a.startswith(f"--{name}=")),
            "",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for the run record."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Spec:
        """The inverse of to_dict."""
        gpu = fields["gpu"]
        return cls(
            **{
                **fields,
                "arguments": tuple(fields["arguments"]),
                "gpu": Gpu(**gpu) if gpu else None,
                "env": tuple((name, value) for name, value in fields["env"]),
                "secrets": tuple(Secret(**secret) for secret in fields["secrets"]),
                "mounts": tuple(Mount(**mount) for mount in fields["mounts"]),
            }
        )


def default_name(verb: str, arguments: tuple[str, ...]) -> str:
    """VERB-HASH of what runs: the same command gets the same name, so submitting twice is safe."""
    return f"{verb}-{hashlib.sha256(repr(arguments).encode()).hexdigest()[:8]}"


def quantity(flag: str, text: str) -> int:
    """Bytes of `16Gi`; raises UsageError."""
    if not _QUANTITY.fullmatch(text):
        raise UsageError(f"--{flag}={text}: sizes are written like 512Mi or 16Gi")
    return int(float(text[:-2]) * _BYTES[text[-2:]])


def duration(flag: str, text: str) -> int:
    """Seconds of `90s`, `30m`, `12h` or `7d`; raises UsageError."""
    number, unit = text[:-1], text[-1:]
    if unit not in _SECONDS or not number.isdigit():
        raise UsageError(f"--{flag}={text}: times are written like 90s, 30m, 12h or 7d")
    return int(number) * _SECONDS[unit]


def parse_env(pairs: list[str]) -> tuple[tuple[str, str], ...]:
    """`NAME=VALUE` pairs; raises UsageError."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _ENV.fullmatch(name):
            raise UsageError(f"--env={name}: is not NAME=VALUE")
        found[name] = value
    return tuple(found.items())


def parse_secrets(texts: list[str]) -> tuple[Secret, ...]:
    """`NAME:KEY:VARIABLE` texts; raises UsageError."""
    secrets = []
    for text in texts:
        parts = text.split(":")
        if len(parts) != 3 or not all(parts) or not _ENV.fullmatch(parts[2]):
            raise UsageError(f"--secret={text}: is not NAME:KEY:VARIABLE")
        secrets.append(Secret(*parts))
    return tuple(secrets)


def parse_mounts(texts: list[str]) -> tuple[Mount, ...]:
    """`CLAIM:/PATH` texts; raises UsageError."""
    mounts = []
    for text in texts:
        claim, _, path = text.partition(":")
        if not _NAME.fullmatch(claim) or not path.startswith("/"):
            raise UsageError(f"--volume={text}: is not CLAIM:/PATH")
        mounts.append(Mount(claim, path))
    return tuple(mounts)


def _check_name(name: str) -> None:
    if len(name) > NAME_LENGTH or not _NAME.fullmatch(name):
        raise UsageError(
            f"--name={name[:80]}: lower-case letters, digits and '-', a letter first, "
            f"{NAME_LENGTH} at the most"
        )


def _check_image(image: str) -> None:
    if not image:
        raise UsageError("--image=REF@sha256:... is missing: a cluster pulls what it runs")
    if not _DIGEST.fullmatch(image):
        raise UsageError(
            f"--image={image}: a tag can be moved; give the digest, REF@sha256:... "
            "(`docker buildx imagetools inspect REF` prints it)"
        )


__all__ = [
    "BACKENDS",
    "BACKENDS_OF",
    "KUBERNETES",
    "Mount",
    "Secret",
    "Spec",
    "default_name",
    "duration",
    "parse_env",
    "parse_gpu",
    "parse_mounts",
    "parse_secrets",
    "quantity",
]
