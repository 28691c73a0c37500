"""Is a dataset directory what its manifest says? Pure reading; nothing is repaired.

Fast: manifest, files there and no others, sizes, sha256, digest, indexes without gaps, labels,
recipe, and the metadata for tensorflow-datasets. Deep: also every checksum inside the records,
every record parsed, every picture decoded, the keys of indexes, labels, the same pictures in
every variant, and triplets that name pictures there are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from collections.abc import Callable, Iterator
from io import BufferedIOBase

from preprocess import dataset_format as df
from preprocess import storage
from preprocess.augment.recipe import load_stored_recipe
from preprocess.build.tfds_metadata import metadata_files
from preprocess.live_format import LIVE_FOLDER
from preprocess.shards.reading import find_manifest, pixels, read_index
from preprocess.shards.tfrecord import (
    FRAME_BYTES,
    Feature,
    RecordError,
    decode_example,
    scan_records,
)
from preprocess.shards.workspace import FOLDER
from preprocess.shell.errors import ConfigError, DataError


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is not as the manifest says."""

    file: str
    problem: str


def verify(dataset: str, deep: bool, advance: Callable[[], object]) -> list[Problem]:
    """All problems of a dataset directory; none = an empty list. `advance` is called a shard."""
    try:
        manifest = find_manifest(dataset)
    except df.DatasetError as error:
        return [Problem(df.MANIFEST_FILE, str(error))]
    problems = [
        *_manifest_problems(manifest),
        *_file_problems(dataset, manifest),
        *_recipe_problems(dataset, manifest),
        *_tfds_problems(dataset, manifest),
    ]
    for split in manifest.splits.values():
        first: dict[int, list[int]] = {}  # shard number -> keys, in variant 0
        whole = True  # no picture shard has a problem, so triplets can be held against them
        for shard in sorted(split.shards, key=lambda s: (s.kind, s.variant, s.file)):
            try:
                with storage.open_read(os.path.join(dataset, shard.file)) as file:
                    found = _shard_problem(dataset, shard, file)
                    if not found and deep:
                        found = _deep_problem(dataset, manifest, split, shard, file, first, whole)
            except FileNotFoundError:
                found = "missing"
            except OSError as error:
                found = f"unreadable: {error.strerror}"
            if found:
                whole = whole and shard.kind != df.IMAGES
                problems.append(Problem(shard.file, found))
            advance()
    return problems


def _manifest_problems(manifest: df.Manifest) -> Iterator[Problem]:
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    if df.digest([(s.file, s.sha256) for s in shards]) != manifest.digest:
        yield Problem(df.MANIFEST_FILE, "the digest does not follow from the shards it lists")
    for name, split in manifest.splits.items():
        for variant in range(split.variants):
            records = sum(s.records for s in split.image_shards(variant))
            if records != split.images:
                yield Problem(
                    df.MANIFEST_FILE,
                    f"split '{name}' has {split.images} pictures, its variant {variant} {records}",
                )
        if name == "train" and split.variants != manifest.variants:
            yield Problem(
                df.MANIFEST_FILE,
                f"{manifest.variants} variants, but its split 'train' has {split.variants}",
            )
        if sum(s.records for s in split.triplet_shards()) != split.triplets:
            yield Problem(df.MANIFEST_FILE, f"split '{name}': the triplet counts differ")


def _recipe_problems(dataset: str, manifest: df.Manifest) -> Iterator[Problem]:
    if not manifest.recipe:
        return
    try:
        digest = load_stored_recipe(dataset).digest
    except ConfigError as error:
        yield Problem(df.RECIPE_FILE, str(error))
        return
    if digest != manifest.recipe:
        yield Problem(df.RECIPE_FILE, "not the recipe that the dataset was built by")


def _tfds_problems(dataset: str, manifest: df.Manifest) -> Iterator[Problem]:
    right = metadata_files(manifest)
    for file in df.TFDS_FILES:
        try:
            if storage.read_text(os.path.join(dataset, file)) != right.get(file):
                yield Problem(file, "tells tensorflow-datasets other than the manifest says")
        except FileNotFoundError:
            if file in right:
                yield Problem(file, "missing")
        except (OSError, UnicodeDecodeError) as error:
            yield Problem(file, f"cannot be read: {error}")


def _file_problems(dataset: str, manifest: df.Manifest) -> Iterator[Problem]:
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    listed = {shard.file for shard in shards}
    listed |= {df.index_file(shard.file) for shard in shards if shard.kind == df.IMAGES}
    for file in sorted(storage.tree(dataset)):
        other = file.split("/")[0] in (FOLDER, LIVE_FOLDER)
        if file.endswith((".tfrecord", ".index")) and not other and file not in listed:
            yield Problem(file, "not in the manifest")
    if {*df.learned_keys(manifest.task)} & {df.ImageKey.LABEL, df.ImageKey.LABELS}:
        try:
            text = storage.read_text(os.path.join(dataset, df.LABELS_FILE))
            labels = tuple(text.split("\n")[:-1])
        except (OSError, UnicodeDecodeError) as error:
            yield Problem(df.LABELS_FILE, f"cannot be read: {error}")
            return
        if labels != manifest.classes:
            yield Problem(df.LABELS_FILE, "differs from the classes of the manifest")


def _shard_problem(dataset: str, shard: df.Shard, file: BufferedIOBase) -> str:
    size = file.seek(0, os.SEEK_END)
    if size != shard.bytes:
        return f"{size} bytes, the manifest says {shard.bytes}"
    file.seek(0)
    if hashlib.file_digest(file, "sha256").hexdigest() != shard.sha256:
        return "its sha256 is not the manifest's"
    return _index_problem(dataset, shard) if shard.kind == df.IMAGES else ""


def _index_problem(dataset: str, shard: df.Shard) -> str:
    """Whether the index divides the file into as many records as there are, without a gap."""
    try:
        index = read_index(dataset, shard.file)
    except DataError as error:
        return str(error)
    ends = [entry.offset + entry.length for entry in index]
    if [entry.offset for entry in index] + [shard.bytes] != [0, *ends]:
        return "its index does not agree with it: offsets and lengths leave gaps"
    if len(index) != shard.records:
        return f"its index has {len(index)} records, the manifest says {shard.records}"
    return ""


def _deep_problem(
    dataset: str,
    manifest: df.Manifest,
    split: df.Split,
    shard: df.Shard,
    file: BufferedIOBase,
    first: dict[int, list[int]],
    whole: bool,
) -> str:
    """What is wrong inside a shard. `first` = the keys of each picture shard in variant 0, noted
    here; `whole` = no picture shard has a problem.
    """
    try:
        if shard.kind == df.IMAGES:
            keys = _check_images(dataset, manifest, split, shard, file)
            if first.setdefault(_number(shard), keys) != keys:
                return "its pictures are not those of variant 0, in their order"
        else:
            known = {key for keys in first.values() for key in keys}
            _check_triplets(shard, file, known if whole else None)
    except KeyError as error:
        return f"a record has no {error}"
    except (DataError, RecordError, OSError, ValueError, TypeError) as error:
        return str(error)
    return ""


def _check_images(
    dataset: str, manifest: df.Manifest, split: df.Split, shard: df.Shard, file: BufferedIOBase
) -> list[int]:
    """The keys of a picture shard; raises DataError at the first thing that is wrong."""
    index = read_index(dataset, shard.file)
    entries: list[df.IndexEntry] = []
    shards = len(split.image_shards(shard.variant))
    for offset, payload in scan_records(file):
        features = decode_example(payload)
        key = _int(features, df.ImageKey.KEY)
        entries.append(df.IndexEntry(key, offset, len(payload) + FRAME_BYTES))
        _check_picture(features, manifest, shard, offset)
        if df.shard_of(key, shards) != _number(shard):
            raise DataError(f"the record at byte {offset} belongs to another shard by its key")
    if entries != index:
        raise DataError("its index does not agree with its records")
    if len(entries) != shard.records:
        raise DataError(f"{len(entries)} records, the manifest says {shard.records}")
    return [entry.key for entry in entries]


def _check_picture(
    features: dict[str, Feature], manifest: df.Manifest, shard: df.Shard, offset: int
) -> None:
    image = pixels(features)
    names = (df.ImageKey.HEIGHT, df.ImageKey.WIDTH, df.ImageKey.CHANNELS)
    if image.shape != tuple(features[name] for name in names):
        raise DataError(f"the picture at byte {offset} is {image.shape}, not what its record says")
    common = (manifest.image.height, manifest.image.width, manifest.image.channels)
    if any(n not in (None, m) for n, m in zip(common, image.shape, strict=True)):
        raise DataError(f"the picture at byte {offset} is {image.shape}, by the manifest {common}")
    if features[df.ImageKey.VARIANT] != shard.variant:
        raise DataError(f"the record at byte {offset} is of variant {features['image/variant']!r}")
    image_id = features[df.ImageKey.ID]
    if not isinstance(image_id, bytes) or (
        df.image_key(image_id.decode("utf-8")) != features[df.ImageKey.KEY]
    ):
        raise DataError(f"the record at byte {offset}: its key is not that of its id")
    learned = df.learned_keys(manifest.task)
    if df.ImageKey.LABEL in learned and not (
        0 <= _int(features, df.ImageKey.LABEL) < len(manifest.classes)
    ):
        raise DataError(f"the record at byte {offset} has label {features[df.ImageKey.LABEL]!r}")
    if df.ImageKey.LABELS in learned:
        labels = features.get(df.ImageKey.LABELS, [])
        numbers = labels if isinstance(labels, list) else [labels]
        if any(not isinstance(n, int) or not 0 <= n < len(manifest.classes) for n in numbers):
            raise DataError(f"the record at byte {offset} has labels {numbers!r:.200}")
    if manifest.targets:
        targets = features[df.ImageKey.TARGETS]
        if (
            not isinstance(targets, list)
            or len(targets) != len(manifest.targets)
            or not all(isinstance(each, float) and math.isfinite(each) for each in targets)
        ):
            raise DataError(f"the record at byte {offset} has targets {targets!r:.200}")
    if manifest.weighted:
        weight = features[df.ImageKey.WEIGHT]
        if not isinstance(weight, list) or len(weight) != 1 or not 0 <= weight[0] < math.inf:
            raise DataError(f"the record at byte {offset} has weight {weight!r}")


def _check_triplets(shard: df.Shard, file: BufferedIOBase, keys: set[int] | None) -> None:
    """Raises DataError at the first thing that is wrong; `keys` = the pictures there are, or None
    where that is not known.
    """
    records = 0
    for offset, payload in scan_records(file):
        records += 1
        features = decode_example(payload)
        named = features[df.TripletKey.IMAGES]
        votes = features[df.TripletKey.VOTES]
        if not (isinstance(named, list) and isinstance(votes, list)) or (
            (len(named), len(votes)) != (3, 3)
        ):
            raise DataError(f"the record at byte {offset} is not a triplet")
        if keys is not None and not set(named) <= keys:
            raise DataError(f"the triplet at byte {offset} names a missing picture")
        if abs(sum(votes) - 1) > 1e-5:
            raise DataError(f"the votes of the triplet at byte {offset} sum to {sum(votes)}")
    if records != shard.records:
        raise DataError(f"{records} records, the manifest says {shard.records}")


def _int(features: dict[str, Feature], name: str) -> int:
    value = features[name]
    if not isinstance(value, int):
        raise DataError(f"{name} is not a single int64")
    return value


def _number(shard: df.Shard) -> int:
    return int(os.path.basename(shard.file).split("-")[1])
