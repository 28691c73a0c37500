"""The dataset directory as both sides see it: file names, record keys, `dataset.json`.

This module is the whole contract between `preprocess`, which writes a dataset
directory, and `trainer`, which reads one. Standard library only, so that either side
can import it without paying for the other's dependencies.

    DATASET/dataset.json                                             written last
    DATASET/labels.txt                                               line n = class n
    DATASET/train/variant-07/images-00003-of-00024.tfrecord
    DATASET/train/variant-07/images-00003-of-00024.index
    DATASET/train/triplets-00000-of-00004.tfrecord
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from preprocess.dataset_checks import (
    DatasetError,
    check_file,
    check_files,
    check_name,
    check_path,
    check_types,
)

FORMAT = "shardline/1"
MANIFEST_FILE = "dataset.json"
RECIPE_FILE = "recipe.yaml"
LABELS_FILE = "labels.txt"
REJECTED_FILE = "rejected.jsonl"

TRIPLET = "triplet"
CLASSIFICATION = "classification"
MULTILABEL = "multilabel"
REGRESSION = "regression"
CLASS_AND_NUMBERS = "class_and_numbers"
LABELS_AND_NUMBERS = "labels_and_numbers"
# Tasks whose records are learned by several others at once.
PARTS = {
    CLASS_AND_NUMBERS: (CLASSIFICATION, REGRESSION),
    LABELS_AND_NUMBERS: (MULTILABEL, REGRESSION),
}
TASKS = (TRIPLET, CLASSIFICATION, MULTILABEL, REGRESSION, *PARTS)
IMAGES = "images"
TRIPLETS = "triplets"

MAX_MANIFEST_BYTES = 256 << 20


class ImageKey:
    """Feature keys of an image record."""

    ENCODED = "image/encoded"  # bytes: JPEG, PNG, or raw uint8 in row-major (H, W, C) order
    FORMAT = "image/format"  # bytes: b"jpeg", b"png" or b"raw"
    ID = "image/id"  # bytes, UTF-8
    KEY = "image/key"  # int64, see image_key()
    VARIANT = "image/variant"  # int64, 0 = the picture as it came
    LABEL = "image/label"  # int64, classification
    LABELS = "image/labels"  # int64[n], multilabel: ascending, n >= 0
    TARGETS = "image/targets"  # float32[n], regression: a number each of Manifest.targets
    WEIGHT = "image/weight"  # float32, at least 0; where the manifest says `weighted`
    HEIGHT = "image/height"  # int64, pixels
    WIDTH = "image/width"  # int64, pixels
    CHANNELS = "image/channels"  # int64, 1 or 3


# What an image record holds to learn, by task; triplets have records of their own.
LEARNED = {
    CLASSIFICATION: ImageKey.LABEL,
    MULTILABEL: ImageKey.LABELS,
    REGRESSION: ImageKey.TARGETS,
}


class TripletKey:
    """Feature keys of a triplet record."""

    IMAGES = "triplet/images"  # int64[3], image keys
    VOTES = "triplet/votes"  # float32[3], sums to 1; share of annotators who called it the odd one
    TYPE = "triplet/type"  # bytes
    ROW = "triplet/row"  # int64, line of the CSV it came from


# What tensorflow-datasets reads in place of the manifest, `DATASET/...`. It looks for the names of
# a label in a file named for the feature, `/` written as a point.
TFDS_INFO_FILE = "dataset_info.json"
TFDS_FEATURES_FILE = "features.json"
TFDS_LABELS_FILE = f"{ImageKey.LABEL.replace('/', '.')}.labels.txt"
TFDS_MANY_LABELS_FILE = f"{ImageKey.LABELS.replace('/', '.')}.labels.txt"
TFDS_TRIPLET_FOLDER = "triplets"
TFDS_FILES = (
    TFDS_INFO_FILE,
    TFDS_FEATURES_FILE,
    TFDS_LABELS_FILE,
    TFDS_MANY_LABELS_FILE,
    f"{TFDS_TRIPLET_FOLDER}/{TFDS_INFO_FILE}",
    f"{TFDS_TRIPLET_FOLDER}/{TFDS_FEATURES_FILE}",
)


_OPTIONAL_FIELDS = ("weighted", "targets", "references")  # of a manifest


def parts_of(task: str) -> tuple[str, ...]:
    """The tasks that a task consists of: itself, unless it has several parts."""
    return PARTS.get(task, (task,))


def learned_keys(task: str) -> list[str]:
    """The features that a task learns of an image record; none where it learns triplets."""
    return [LEARNED[part] for part in parts_of(task) if part in LEARNED]


def task_of(*parts: str) -> str:
    """The inverse of parts_of()."""
    return next((task for task, of_task in PARTS.items() if of_task == parts), parts[0])


def image_key(image_id: str) -> int:
    """First 63 bits of sha256 of the image id: a non-negative int64."""
    return int.from_bytes(hashlib.sha256(image_id.encode("utf-8")).digest()[:8], "big") >> 1


def shard_of(key: int, shards: int) -> int:
    """The shard a key belongs to. Shards divide the key range evenly, so the shards read in
    order hold keys in ascending order, and a picture's shard depends on its own key only.
    """
    return (key * shards) >> 63


def variant_of(pass_number: int, shard: int, variants: int) -> int:
    """The variant from which shard `shard` is read in pass `pass_number` (both from 0).

    Every picture is read once a pass, all variants are at work from the first pass on, and
    after `variants` passes each picture has been seen in each of its variants.
    """
    return (pass_number + shard) % variants


def image_shard_file(split: str, variant: int, shard: int, shards: int) -> str:
    """Path of an image shard relative to the dataset directory."""
    return f"{split}/variant-{variant:02d}/images-{shard:05d}-of-{shards:05d}.tfrecord"


def triplet_shard_file(split: str, shard: int, shards: int) -> str:
    """Path of a triplet shard relative to the dataset directory."""
    return f"{split}/triplets-{shard:05d}-of-{shards:05d}.tfrecord"


def index_file(shard_file: str) -> str:
    """Path of the index next to an image shard."""
    return shard_file.removesuffix(".tfrecord") + ".index"


class IndexEntry(NamedTuple):
    """Where a record lies in its shard. `offset` and `length` span the whole framed record:
    8 bytes of length, 4 of checksum, the payload, 4 of checksum.
    """

    key: int
    offset: int
    length: int


def format_index(entries: list[IndexEntry]) -> str:
    """An index file's text: a line `key offset length` a record, in record order."""
    return "".join(f"{e.key} {e.offset} {e.length}\n" for e in entries)


def parse_index(text: str) -> list[IndexEntry]:
    """The inverse of format_index; raises ValueError on a malformed line."""
    entries = []
    for line in text.splitlines():
        key, offset, length = line.split(" ")
        entries.append(IndexEntry(int(key), int(offset), int(length)))
    return entries


def digest(files: list[tuple[str, str]]) -> str:
    """sha256 over the sorted (file, sha256) pairs: equal digests = equal bytes in every shard."""
    text = "".join(f"{name} {sha256}\n" for name, sha256 in sorted(files))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of records."""

    file: str  # relative to the dataset directory
    kind: str  # IMAGES or TRIPLETS
    variant: int  # 0 for triplets
    records: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Split:
    """One split. `images` and `triplets` are counted once, not once a variant."""

    images: int
    triplets: int
    variants: int
    shards: tuple[Shard, ...]

    def image_shards(self, variant: int = 0) -> list[Shard]:
        """The image shards of one variant, in shard order."""
        return sorted(
            (s for s in self.shards if s.kind == IMAGES and s.variant == variant),
            key=lambda s: s.file,
        )

    def triplet_shards(self) -> list[Shard]:
        """The triplet shards, in shard order."""
        return sorted((s for s in self.shards if s.kind == TRIPLETS), key=lambda s: s.file)


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """How pictures are stored. `height`, `width` and `channels` are None if they are not
    the same for every picture of the dataset.
    """

    encoding: str  # "jpeg", "png" or "raw"
    quality: int  # JPEG quality 1-100
    size: int  # --image_size; 0 = as they came
    resize_mode: str  # "stretch", "pad" or "crop"
    height: int | None = None
    width: int | None = None
    channels: int | None = None

    @property
    def has_files(self) -> bool:
        """Whether each picture is a JPEG or PNG file, and not bare pixels."""
        return self.encoding != "raw"


@dataclasses.dataclass(frozen=True)
class Target:
    """A number that each picture has. Its mean and standard deviation over the training split, 1
    where that is 0, are what a network learns it by.
    """

    name: str
    mean: float
    std: float


@dataclasses.dataclass(frozen=True)
class Manifest:
    """`dataset.json`: what a dataset directory holds."""

    task: str  # one of TASKS
    fingerprint: str  # of everything that went in
    digest: str  # of everything that came out, see digest()
    versions: dict[str, str]
    seed: int
    variants: int
    recipe: str  # digest of the recipe, whatever its description; "" if there is none
    image: ImageFormat
    classes: tuple[str, ...]
    splits: dict[str, Split]
    rejected: dict[str, Any]  # {"count": int, "by_reason": {reason: int}}
    format: str = FORMAT
    weighted: bool = False  # each image record has a weight
    targets: tuple[Target, ...] = ()  # what the numbers of an image record are
    # of the user's own code that built it: reference and sha256, by where it is named; for people
    references: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """The text of `dataset.json`. What few datasets have is left out where it is not there, so
        that those of before are written as they were.
        """
        values = dataclasses.asdict(self)
        for name in _OPTIONAL_FIELDS:
            if not values[name]:
                del values[name]
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)

    def files(self) -> Iterator[str]:
        """Every shard, and the index of every image shard, relative to the dataset directory."""
        for split in self.splits.values():
            for shard in split.shards:
                yield shard.file
                if shard.kind == IMAGES:
                    yield index_file(shard.file)

    def split(self, name: str) -> Split:
        """The split of this name; raises DatasetError that lists the ones there are."""
        if name not in self.splits:
            raise DatasetError(f"no split '{name}' in the dataset; it has {', '.join(self.splits)}")
        return self.splits[name]

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """The inverse of to_json; raises DatasetError if the text is no manifest."""
        try:
            fields = json.loads(text)
            if fields["format"] != FORMAT:
                raise DatasetError(
                    f"the dataset has format {fields['format']!r}; this version reads {FORMAT!r}"
                )
            fields["image"] = ImageFormat(**fields["image"])
            fields["classes"] = tuple(fields["classes"])
            fields["splits"] = {
                name: Split(**{**split, "shards": tuple(Shard(**s) for s in split["shards"])})
                for name, split in fields["splits"].items()
            }
            fields["targets"] = tuple(Target(**each) for each in fields.get("targets", ()))
            manifest = cls(**fields)
            _check_manifest(manifest)
        except RecursionError:
            raise DatasetError(f"{MANIFEST_FILE} is not a manifest: nested too deeply") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(
                f"{MANIFEST_FILE} is not a manifest: {type(error).__name__}: {str(error)[:200]}"
            ) from error
        return manifest

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], read: Callable[[str], str] | None = None
    ) -> Manifest:
        """Reads the manifest of a dataset directory (or of its `dataset.json`).

        `read` gives the text of a file, for directories that are not on a disk; it raises
        OSError as open() does.

        Raises DatasetError if there is none: the build did not finish, or the path is
        not a dataset directory.
        """
        path = os.fspath(path)
        if os.path.basename(path) != MANIFEST_FILE:
            path = os.path.join(path, MANIFEST_FILE)
        folder = os.path.dirname(path) or "."
        try:
            if "://" in path:
                assert read is not None, "an address needs a way to read it"
                return cls.from_json(read(path))
            check_file(folder, MANIFEST_FILE, MAX_MANIFEST_BYTES)
            if read is not None:
                text = read(path)
            else:
                with open(path, encoding="utf-8") as file:
                    text = file.read()
            manifest = cls.from_json(text)
            check_files(folder, (LABELS_FILE, RECIPE_FILE, *manifest.files()))
            return manifest
        except FileNotFoundError:
            raise DatasetError(
                f"no {MANIFEST_FILE} in '{folder}': not a dataset directory, "
                "or its build did not finish (run the same `preprocess build` again)"
            ) from None
        except UnicodeDecodeError as error:
            raise DatasetError(f"'{path}' is not UTF-8: {error}") from error
        except OSError as error:
            raise DatasetError(f"cannot read '{path}': {error}") from error


def _check_manifest(manifest: Manifest) -> None:
    """Raises ValueError or TypeError if a field has the wrong type or an impossible value."""
    check_types(manifest)
    check_types(manifest.image)
    if manifest.task not in TASKS:
        raise ValueError(f"task {manifest.task[:40]!r}")
    for name in (*manifest.classes, *manifest.splits):
        check_name(name)
    for target in manifest.targets:
        check_types(target)
        check_name(target.name)
        if not (math.isfinite(target.mean) and 0 < target.std < math.inf):
            raise ValueError(f"target '{target.name}': mean {target.mean}, deviation {target.std}")
    for name, split in manifest.splits.items():
        if name in (".", "..") or "/" in name or "\\" in name:
            raise ValueError(f"a split called {name!r}")
        check_types(split)
        pictures = 0
        for shard in split.shards:
            check_types(shard)
            check_path(shard.file)
            if shard.kind not in (IMAGES, TRIPLETS) or shard.variant >= split.variants:
                raise ValueError(f"'{shard.file}': kind {shard.kind!r}, variant {shard.variant}")
            pictures += shard.kind == IMAGES
        # Each variant has a shard of its own.
        if split.variants > max(pictures, 1):
            raise ValueError(f"split '{name}': {split.variants} variants in {pictures} shards")
