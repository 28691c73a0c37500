"""The sets of a training: one, or several that are trained on together in given shares.

The first one gives the run its classes, targets and main validation; the others are SET2, SET3, ...
by their place among --data, also in the names of their splits, so that a set may move to another
path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from trainer.config.keys import Config, with_values
from trainer.config.running_sections import LIVE, DataConfig
from trainer.data.dataset import check_fits, digest_for, load_manifest, what_it_reads
from trainer.data.shares import MOST_PARTS, Shares, parts_of
from trainer.data.storage import absolute, is_address

FURTHER = "further"  # in the dataset section of config.json


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """One dataset of a run.

    Attributes:
      path: its directory, or address.
      manifest: its contents.
      number: among --data, from 1.
    """

    path: str
    manifest: Manifest
    number: int = 1

    def label(self, split: str) -> str:
        """A split's name in the run: "test" of the first set, "set2_test" of the second."""
        return split if self.number == 1 else f"set{self.number}_{split}"

    def config(self, config: Config) -> Config:
        """The configuration of the run as this set has it: with the splits that are there, and an
        order of its own.
        """
        if self.number == 1:
            return config
        splits = config.data.validation_splits
        there = tuple(name for name in splits if name in self.manifest.splits)
        seed = config.seed + self.number - 1
        return with_values(config, {"seed": seed, "data.validation_splits": there})

    def records(self, train_split: str) -> int:
        """Of a pass through its training split."""
        split = self.manifest.split(train_split)
        return split.triplets or split.images

    def bytes_read(self, config: Config) -> int:
        """Of the local files that a training reads again and again: those of its training split in
        the variants that it uses, and of its validation splits; 0 at an address.
        """
        if is_address(self.path):
            return 0
        data = self.config(config).data
        train = self.manifest.split(data.train_split)
        variants = data.stored_variants(train.variants)
        shards = [shard for variant in range(variants) for shard in train.image_shards(variant)]
        for name in data.validation_splits:
            shards += self.manifest.split(name).image_shards(0)
        return sum(shard.bytes for shard in shards)


def open_sets(config: Config, paths: Sequence[str]) -> tuple[TrainingSet, ...]:
    """The sets of these paths.

    Raises:
      DataError: there is no dataset.
      ConfigError: one does not fit the configuration, or they do not fit each other.
    """
    sets = tuple(
        TrainingSet(path, load_manifest(path), number) for number, path in enumerate(paths, start=1)
    )
    _check_shares(config.data, len(sets))
    for each in (read := _of_one_size(sets)):
        check_fits(each.config(config), each.manifest, each.path)
    for each in sets[1:]:
        _check_agrees(sets[0], each)
        for split in each.config(config).data.validation_splits:
            if each.label(split) in config.data.validation_splits:
                raise ConfigError(
                    f"'{sets[0].path}' has a split named {each.label(split)}, as that of "
                    f"'{each.path}' would be named: rename it, or leave it out of "
                    "data.validation_splits"
                )
    return read


def _check_shares(data: DataConfig, sets: int) -> None:
    shares = data.shares
    if sets > 1 and data.live:
        raise ConfigError(
            f"data.variants={LIVE} reads one set, but --data names {sets}: build one dataset of "
            "all of them, or set data.variants to a number"
        )
    if shares and sets == 1:
        raise ConfigError(
            f"data.shares={','.join(map(str, shares))} is for {len(shares)} sets, but --data names "
            "one: give the others too, or --config.data.shares="
        )
    if shares and len(shares) != sets:
        raise ConfigError(
            f"data.shares={','.join(map(str, shares))} is for {len(shares)} sets, but --data names "
            f"{sets}: give one share for each --data, in their order"
        )
    if any(share < 1 for share in shares):
        raise ConfigError(
            f"data.shares={','.join(map(str, shares))}: each has to be at least 1; leave out the "
            "--data of a set that is not wanted"
        )
    if sum(shares) > MOST_PARTS:
        raise ConfigError(
            f"data.shares={','.join(map(str, shares))}: they add up to more than {MOST_PARTS}; "
            "give smaller numbers in the same proportion, such as 7,3"
        )


def _check_agrees(first: TrainingSet, other: TrainingSet) -> None:
    """Raises ConfigError if a batch could not hold records of both."""
    one, two = first.manifest, other.manifest
    parts = {
        "task": (one.task, two.task, "train them apart"),
        "classes": (
            ", ".join(one.classes),
            ", ".join(two.classes),
            "build both with the same class names, in the same order",
        ),
        "targets": (
            ", ".join(each.name for each in one.targets) or "none",
            ", ".join(each.name for each in two.targets) or "none",
            "build both with the same --targets",
        ),
        "record weights": (
            "record weights" if one.weighted else "none",
            "record weights" if two.weighted else "none",
            "build both with --weight, or none",
        ),
    }
    for what, (mine, theirs, remedy) in parts.items():
        if mine != theirs:
            raise ConfigError(
                f"--data: the {what} of the sets differ: '{first.path}' has {mine[:200]}, "
                f"'{other.path}' has {theirs[:200]}; {remedy}"
            )


def _of_one_size(sets: tuple[TrainingSet, ...]) -> tuple[TrainingSet, ...]:
    """The sets; of different sizes, they are read as a dataset with pictures of several sizes is:
    stretched to one.
    """
    sizes = {(each.manifest.image.height, each.manifest.image.width) for each in sets}
    if len(sizes) == 1:
        return sets
    return tuple(
        dataclasses.replace(each, manifest=of_several_sizes(each.manifest)) for each in sets
    )


def of_several_sizes(manifest: Manifest) -> Manifest:
    """A manifest as that of a dataset whose pictures differ in size: they are stretched to one."""
    image = dataclasses.replace(manifest.image, height=None, width=None)
    return dataclasses.replace(manifest, image=image)


def shares_of(data: DataConfig, sets: Sequence[TrainingSet]) -> Shares:
    """`data.shares`, or in proportion to the records of the sets."""
    return Shares(data.shares or parts_of([each.records(data.train_split) for each in sets]))


def record_of_sets(config: Config, sets: Sequence[TrainingSet], before: JsonObject) -> JsonObject:
    """What config.json says of the sets after the first; {} if there is only one.

    Args:
      config: of the run.
      sets: all of them.
      before: the dataset section of config.json of a run that resumes; {} for a new one.
    """
    if len(sets) == 1:
        return {}
    kept = before.get(FURTHER, [{}] * (len(sets) - 1))
    rows = [
        {
            "path": absolute(each.path),
            "digest": each.manifest.digest,
            **what_it_reads(each.config(config).data, each.manifest),
            **{name: earlier[name] for name in ("variants", "reads") if name in earlier},
        }
        for each, earlier in zip(sets[1:], kept, strict=True)
    ]
    return {"shares": shares_of(config.data, sets).parts, FURTHER: rows}


def changed_sets(config: Config, sets: Sequence[TrainingSet], before: JsonObject) -> list[str]:
    """What of the sets after the first is not as in the run that resumes."""
    kept = before.get(FURTHER, [])
    if len(kept) != len(sets) - 1:
        return [f"number of --data ({len(kept) + 1} -> {len(sets)})"]
    changed = []
    for each, earlier in zip(sets[1:], kept, strict=True):
        digest = digest_for(earlier, each.config(config).data, each.manifest)
        if digest != earlier["digest"]:
            change = f"{earlier['digest'][:12]} -> {digest[:12]}"
            changed.append(f"digest of set {each.number} of --data ({change})")
    return changed


def validation_splits(
    config: Config, sets: Sequence[TrainingSet]
) -> Iterator[tuple[str, TrainingSet, str]]:
    """(name in the run, set, split) of all that is measured: first those of the first set."""
    for each in sets:
        for split in each.config(config).data.validation_splits:
            yield each.label(split), each, split


def sets_in_words(data: DataConfig, sets: Sequence[TrainingSet]) -> list[str]:
    """A line for each set, with its share; [] if there is only one."""
    if len(sets) == 1:
        return []
    shares = shares_of(data, sets)
    return [
        f"set {each.number}: {part / shares.length:.2%} of each batch, of "
        f"{each.records(data.train_split)} records in '{each.path}'"
        for each, part in zip(sets, shares.parts, strict=True)
    ]
