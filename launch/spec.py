"""What a user requests: one specification for any back end.

A `Spec` is complete and checked: renderers need nothing else and reject nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Collection
from typing import Any

from launch import augmenting
from launch.backends.kinds.kind import Kind
from launch.backends.kinds.registry import KINDS, running
from launch.gpus import ACCELERATORS, Gpu, parse_gpu
from launch.plain_words import check_text, check_word
from launch.quantity import amount
from launch.secret_values import secret_reason
from launch.smoke import smoke_run
from preprocess.shell.errors import UsageError

VERBS = ("train", "preprocess", "search", "tensorboard")

# A pod's host name is NAME-INDEX, or NAME-worker-0-INDEX for JobSet, and a host name's label
# holds 63 characters (RFC 1123); 44 leave room for both and for what belongs to the run.
NAME_LENGTH = 44
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(Mi|Gi|Ti)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PLAIN_WORDS = (
    *("image", "namespace", "service_account", "queue", "priority", "partition", "account"),
)
_EARLIER_FIELDS = ("data_workers",)  # in records of runs of earlier versions
# What from_dict() raises for data that none of our runs has written.
MALFORMED = (UsageError, KeyError, TypeError, ValueError, AttributeError, OverflowError)


@dataclasses.dataclass(frozen=True)
class Secret:
    """One key of a Kubernetes secret as an environment variable; its value is never read here."""

    name: str
    key: str
    variable: str


@dataclasses.dataclass(frozen=True)
class Mount:
    """A volume claim (Kubernetes) and its mount path."""

    claim: str
    path: str


@dataclasses.dataclass(frozen=True)
class OwnFile:
    """A file of the user's own code that is sent into the pods of a run (launch/own_files.py)."""

    path: str  # below the folder where all of them are mounted
    sha256: str
    text: str = dataclasses.field(default="", repr=False, compare=False)  # not in a record


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
    own_files: tuple[OwnFile, ...] = ()
    tensorboard: bool = False
    smoke: bool = False
    augment_workers: int = 0  # processes of the follower next to a training; 0 = there is none
    augment_recipe: str = ""  # where the dataset has none
    augment_ahead: int = 0  # variants built ahead; 0 = the follower's own number
    augment_keep: int = 0  # variants kept; 0 = the same
    time_limit: int = 0  # Slurm: of one attempt; 0 = the deadline
    partition: str = ""  # Slurm
    account: str = ""  # Slurm

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.backend not in (able := running(self.verb)):
            use = f"; use {', '.join(able)}" if able else ", and neither does any other"
            raise UsageError(f"--backend={self.backend} does not support {self.verb}{use}")
        self.kind.check(self)
        if self.workers > 1 and self.verb not in ("train", "search"):
            raise UsageError(
                f"--workers={self.workers}: {self.verb} is a single process here; `-- --workers=N` "
                "sets the threads or processes of a local build"
            )
        for name, least in (("workers", 1), ("max_restarts", 0), ("deadline", 60), ("grace", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name}={getattr(self, name)}: must be at least {least}")
        augmenting.check(self.verb, self.following, self.arguments)
        if self.augment_workers and not self.kind.follows:
            raise UsageError(
                f"--augment_workers={self.augment_workers}: --backend={self.backend} starts no "
                "follower; leave it out, and start `preprocess follow` yourself"
            )
        for name in ("memory", "shared_memory", "scratch"):
            quantity(name, getattr(self, name))
        if quantity("shared_memory", self.shared_memory) >= quantity("memory", self.memory):
            raise UsageError(
                f"--shared_memory={self.shared_memory} is part of --memory={self.memory}; set a "
                "smaller size"
            )
        if self.spot and self.grace > 15 and self.kind.in_cluster:
            # Google's spot nodes give ordinary pods 15 of their 30 seconds.
            object.__setattr__(self, "grace", 15)
        self._check_words()

    def _check_words(self) -> None:
        """Raises UsageError for texts that would be more than one word in a script or manifest."""
        for name in _PLAIN_WORDS:
            check_word(name, getattr(self, name))
        for argument in self.arguments:
            check_text("the argument", argument)
        for name, value in self.env:
            if not _ENV.fullmatch(name):
                raise UsageError(f"--env={name[:40]!a} is not the name of a variable")
            check_text(f"--env={name}:", value)
        for secret in self.secrets:
            for word in (secret.name, secret.key, secret.variable):
                check_word("secret", word)
        for mount in self.mounts:
            check_word("volume", mount.claim)
            check_text("--volume:", mount.path)
        for own in self.own_files:
            check_text("the own file", own.path)
        check_text("--augment_recipe:", self.augment_recipe)
        if self.gpu and self.gpu.kind and self.gpu.kind not in ACCELERATORS:
            raise UsageError(f"--gpu={self.gpu.kind[:40]!a}: unknown kind")

    @property
    def kind(self) -> Kind:
        """The declaration of its back end."""
        return KINDS[self.backend]

    @property
    def together(self) -> bool:
        """Whether the workers train together: they start, fail and continue as one."""
        return self.verb == "train" and self.workers > 1

    @property
    def independent(self) -> bool:
        """Whether there are several workers that share no step: each ends and fails separately."""
        return self.workers > 1 and not self.together

    @property
    def command(self) -> tuple[str, ...]:
        """The command line of one worker."""
        if self.verb == "preprocess":
            return ("python", "-m", "preprocess", "build", *self.arguments)
        if self.smoke:
            return ("python", "-m", "launch.smoke", *self.arguments)
        return ("python", "-m", "trainer", self.verb, *self.arguments)

    @property
    def following(self) -> augmenting.Following:
        """What is asked of a follower next to the training."""
        return augmenting.Following(
            self.augment_workers, self.augment_recipe, self.augment_ahead, self.augment_keep
        )

    @property
    def follower(self) -> tuple[str, ...]:
        """The command line of the follower next to the training; () = there is none."""
        if not self.augment_workers:
            return ()
        data, run = self.flag("data"), self.flag("workdir")
        run = smoke_run(run) if self.smoke else run
        return augmenting.follow_command(data, run, self.following)

    def flag(self, name: str) -> str:
        """The value of `--NAME=VALUE` among the worker's arguments; "" if it is missing."""
        return next(
            (a.partition("=")[2] for a in self.arguments if a.startswith(f"--{name}=")),
            "",
        )

    def flags(self, name: str) -> list[str]:
        """All values of a flag that may be repeated."""
        return [a.partition("=")[2] for a in self.arguments if a.startswith(f"--{name}=")]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for the run record; without what was in own files."""
        fields = dataclasses.asdict(self)
        files = [{"path": own.path, "sha256": own.sha256} for own in self.own_files]
        del fields["own_files"]
        return {**fields, **({"own_files": files} if files else {})}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Spec:
        """The inverse of to_dict.

        Raises one of MALFORMED for data that is not a specification.
        """
        fields = {name: fields[name] for name in fields if name not in _EARLIER_FIELDS}
        if not isinstance(fields["arguments"], (list, tuple)):
            raise TypeError("arguments are not a list")
        for field in dataclasses.fields(cls):
            plain: Any = {"str": str, "int": int, "bool": bool}.get(str(field.type))
            if plain and type(fields.get(field.name, field.default)) is not plain:
                raise TypeError(f"{field.name} is not of type {field.type}")
        words = [*fields["arguments"], *(word for pair in fields["env"] for word in pair)]
        own_files = fields.get("own_files", ())
        words += [
            word
            for each in (*fields["secrets"], *fields["mounts"], *own_files)
            for word in each.values()
        ]
        if not all(isinstance(word, str) for word in words):
            raise TypeError("an argument is not text")
        gpu = fields["gpu"]
        return cls(
            **{
                **fields,
                "arguments": tuple(fields["arguments"]),
                "gpu": Gpu(**gpu) if gpu else None,
                "env": tuple((name, value) for name, value in fields["env"]),
                "secrets": tuple(Secret(**secret) for secret in fields["secrets"]),
                "mounts": tuple(Mount(**mount) for mount in fields["mounts"]),
                "own_files": tuple(OwnFile(own["path"], own["sha256"]) for own in own_files),
            }
        )


def default_name(verb: str, arguments: tuple[str, ...]) -> str:
    """VERB-HASH of the command: equal commands get equal names, so submitting twice is safe."""
    return f"{verb}-{hashlib.sha256(repr(arguments).encode()).hexdigest()[:8]}"


def quantity(flag: str, text: str) -> int:
    """Bytes of `16Gi`; raises UsageError."""
    if not _QUANTITY.fullmatch(text):
        raise UsageError(f"--{flag}={text}: write sizes like 512Mi or 16Gi")
    return int(amount(text))


def duration(flag: str, text: str) -> int:
    """Seconds of `90s`, `30m`, `12h` or `7d`; raises UsageError."""
    number, unit = text[:-1], text[-1:]
    if unit not in _SECONDS or not number.isdigit():
        raise UsageError(f"--{flag}={text}: write times like 90s, 30m, 12h or 7d")
    return int(number) * _SECONDS[unit]


def parse_env(pairs: list[str], not_secret: Collection[str] = ()) -> tuple[tuple[str, str], ...]:
    """`NAME=VALUE` pairs; raises UsageError, also for secrets not listed in `not_secret`."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _ENV.fullmatch(name):
            raise UsageError(f"--env={name} is not NAME=VALUE")
        if name not in not_secret and (reason := secret_reason(name, value)):
            raise UsageError(
                f"--env={name}=...: {reason}, and records and manifests would show it; in a "
                f"cluster use --secret=NAME:KEY:{name}, elsewhere export it before `launch`; "
                f"set --not_secret={name} if it is not a secret"
            )
        found[name] = value
    return tuple(found.items())


def parse_secrets(texts: list[str]) -> tuple[Secret, ...]:
    """`NAME:KEY:VARIABLE` texts; raises UsageError."""
    secrets = []
    for text in texts:
        parts = text.split(":")
        if len(parts) != 3 or not all(parts) or not _ENV.fullmatch(parts[2]):
            raise UsageError(f"--secret={text} is not NAME:KEY:VARIABLE")
        secrets.append(Secret(*parts))
    return tuple(secrets)


def parse_mounts(texts: list[str]) -> tuple[Mount, ...]:
    """`CLAIM:/PATH` texts; raises UsageError."""
    mounts = []
    for text in texts:
        claim, _, path = text.partition(":")
        if not _NAME.fullmatch(claim) or not path.startswith("/"):
            raise UsageError(f"--volume={text} is not CLAIM:/PATH")
        mounts.append(Mount(claim, path))
    return tuple(mounts)


def is_name(text: str) -> bool:
    """Whether a run may have this name."""
    return len(text) <= NAME_LENGTH and _NAME.fullmatch(text) is not None


def _check_name(name: str) -> None:
    if not is_name(name):
        raise UsageError(
            f"--name={name[:80]}: use lower-case letters, digits and '-', starting with a letter, "
            f"at most {NAME_LENGTH}"
        )


__all__ = [
    "MALFORMED",
    "Mount",
    "OwnFile",
    "Secret",
    "Spec",
    "default_name",
    "duration",
    "is_name",
    "parse_env",
    "parse_gpu",
    "parse_mounts",
    "parse_secrets",
    "quantity",
]
