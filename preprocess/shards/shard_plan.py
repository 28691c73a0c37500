"""What a shard is built from: its plan, a small file, and the options that all shards share.

What travels to a worker is the name of that file, so that the job graph stays small at any size.
A shard's fingerprint is the hash of its file and of the options, but for the number of variants
and for what only variants above 0 depend on, seed and recipe: so that variants can be added to a
shard that has some already.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping

from preprocess.dataset_format import image_key

# In a line of a plan: the last field, and that of a file of its own on a disk.
_TIME = re.compile(r', "mtime_ns": -?\d+}$')
_FILE_TIME = re.compile(r'(?<="path": "/).*("mtime_ns": -?\d+)}$')
# Of the options, those without a say in variant 0.
DRAWING_OPTIONS = ("seed", "recipe")


@dataclasses.dataclass(frozen=True)
class Options:
    """What, besides the pictures, decides the bytes of a dataset."""

    task: str
    seed: int
    variants: int  # of the training split; other splits have one
    recipe: str  # canonical YAML; "" if there is one variant
    encoding: str
    quality: int
    image_size: int  # 0 = as they came
    resize_mode: str
    shards: int  # image shards a split; 0 = from the ladder

    def to_json(self) -> str:
        """Canonical text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @property
    def original(self) -> str:
        """What decides variant 0, the picture as it came; part of every fingerprint."""
        values = dataclasses.asdict(self)
        for name in ("variants", *DRAWING_OPTIONS):
            del values[name]
        return json.dumps(values, sort_keys=True)

    @property
    def drawing(self) -> str:
        """What decides the other variants besides that, as a hash."""
        return sha256_text(json.dumps([getattr(self, name) for name in DRAWING_OPTIONS]))


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """One shard to build: a picture shard in all its variants, or a triplet shard."""

    split: str
    kind: str  # dataset_format.IMAGES or TRIPLETS
    shard: int
    shards: int
    variants: int
    lines: tuple[str, ...]  # JSON: PictureEntry or TripletEntry fields; () in an outline
    inputs: int = 0  # how many lines there are, or were
    root: str = ""  # the folder of the input, wherever it lies; "" = not known

    @property
    def name(self) -> str:
        """A file name that no other shard of the dataset has."""
        return f"{self.split}-{self.kind}-{self.shard:05d}"

    def to_text(self) -> str:
        """The plan file: a header line, then a line an input."""
        header = self._header("split", "kind", "shard", "shards", "variants", "inputs", "root")
        return "\n".join((header, *self.lines)) + "\n"

    def _header(self, *names: str) -> str:
        return json.dumps({name: getattr(self, name) for name in names}, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> ShardPlan:
        """The inverse of to_text."""
        header, *lines = text.splitlines()
        return cls(**json.loads(header), lines=tuple(lines))

    def fingerprint(self, options: Options) -> str:
        """Hash of all that decides the bytes of variant 0, but for pictures refused later. Where
        the folder of the input lies is no part of it: another mount has the same pictures.
        """
        return self._hashed(options, self._relative_lines())

    def located_fingerprint(self, options: Options) -> str:
        """The same with absolute paths, as markers have it that were written before."""
        return self._hashed(options, self.lines)

    def untimed_fingerprint(self, options: Options) -> str:
        """The same without modification times: two plans that agree in it differ in content, or
        not at all.
        """
        return self._hashed(options, (_TIME.sub("", line) for line in self._relative_lines()))

    @property
    def times_say_nothing(self) -> bool:
        """Whether all files have one time, as archives and package managers set it."""
        found = [_FILE_TIME.search(line) for line in self.lines]
        times = {time[1] if time else "" for time in found}
        return len(found) > 1 and len(times) == 1 and times != {""}

    def _relative_lines(self) -> Iterator[str]:
        if not self.root:
            yield from self.lines
            return
        # In the text, which is many times quicker than parsing it: ids cannot hold this pattern,
        # as their quotes are escaped. An item of a container has `KIND:BYTES:DETAIL:` before.
        root = re.escape(json.dumps(self.root.rstrip("/"))[1:-1])
        path = re.compile(rf'("path": "(?:[^:"/]+:\d+:[^:"]*:)?){root}(?:/|(?="))')
        for line in self.lines:
            yield path.sub(r"\1", line, count=1)

    def _hashed(self, options: Options, lines: Iterable[str]) -> str:
        hashed = hashlib.sha256(f"{options.original}\n".encode())
        # Line by line: a second text of a whole shard would be the peak of a build's memory.
        header = self._header("split", "kind", "shard", "shards")
        for line in itertools.chain((header,), lines):
            hashed.update(f"{line}\n".encode())
        return hashed.hexdigest()


@dataclasses.dataclass(frozen=True)
class PictureEntry:
    """A line of a picture shard's plan."""

    id: str
    key: int
    label: int | None
    path: str
    item: int | None
    line: int | None
    bytes: int
    mtime_ns: int  # of an object its generation, which changes with the content too
    features: Mapping[str, list[int] | list[float]] | None = None  # further ones of the record

    def to_json(self) -> str:
        """The line. What it is not said to have is left out: lines of before stay as they were,
        and end with the time.
        """
        values = dict(vars(self))
        features = values.pop("features")
        return json.dumps({"features": features, **values} if features else values)


@dataclasses.dataclass(frozen=True)
class TripletEntry:
    """A line of a triplet shard's plan."""

    ids: tuple[str, str, str]
    votes: tuple[float, float, float]
    type: str
    line: int

    def to_json(self) -> str:
        """The line."""
        return json.dumps(vars(self))

    @property
    def keys(self) -> list[int]:
        """Keys of the three pictures."""
        return [image_key(image_id) for image_id in self.ids]


def sha256_text(text: str) -> str:
    """The hash of a text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
