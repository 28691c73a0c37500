"""The contract of live variants: what `preprocess follow` adds to a dataset for a training.

    DATASET/live/
      follower.json                                          by what recipe, and how fast
      variant-00012.json                                     written last: the variant is whole
      train/variant-12/images-00000-of-00024.tfrecord        the same pictures in the same order
      train/variant-12/images-00000-of-00024.index

Pass p reads variant p. Variants of the dataset itself are not made again. Everything below `live`
can be removed and is made again with the same bytes; the dataset does not depend on it. Standard
library only.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from preprocess.dataset_checks import DatasetError, check_path, check_types
from preprocess.dataset_format import (
    IMAGES,
    Manifest,
    Shard,
    digest,
)

LIVE_FOLDER = "live"
FOLLOWER_FILE = f"{LIVE_FOLDER}/follower.json"
MAX_FOLLOWER_BYTES = 1 << 20
LIVE_SPLIT = "train"  # the one that has variants
ALIVE_SECONDS = 60.0  # a follower that has not written its file for so long has ended


def live_manifest_file(variant: int) -> str:
    """Path of a live variant's manifest relative to the dataset directory."""
    return f"{LIVE_FOLDER}/variant-{variant:05d}.json"


def base_digest(manifest: Manifest) -> str:
    """Digest of variant 0 of the training split: which pictures live variants are of."""
    shards = manifest.split(LIVE_SPLIT).image_shards(0)
    return digest([(shard.file, shard.sha256) for shard in shards])


@dataclasses.dataclass(frozen=True)
class LiveVariant:
    """The manifest of one variant.

    Attributes:
      variant: its number.
      base: base_digest() of the dataset it was made from.
      recipe: digest of the recipe.
      seed: of the dataset.
      shards: its files, relative to the dataset directory, in the order of variant 0's.
    """

    variant: int
    base: str
    recipe: str
    seed: int
    shards: tuple[Shard, ...]

    @property
    def bytes(self) -> int:
        """Of all records."""
        return sum(shard.bytes for shard in self.shards)

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> LiveVariant:
        """The inverse of to_json; raises DatasetError if the text is no such manifest."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
            made = cls(**fields)
            check_types(made)
            for shard in made.shards:
                check_types(shard)
                parts = shard.file.split("/")
                if parts[0] != LIVE_FOLDER or ".." in parts:
                    raise ValueError(f"'{shard.file[:80]}' is not below '{LIVE_FOLDER}'")
                check_path(shard.file)
                if (shard.kind, shard.variant) != (IMAGES, made.variant):
                    raise ValueError(f"'{shard.file}' is of variant {shard.variant}")
            return made
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DatasetError(f"not the manifest of a live variant: {error}") from None


@dataclasses.dataclass(frozen=True)
class FollowerState:
    """What a follower says of itself.

    Attributes:
      base, recipe, seed: of the variants that it makes, as in LiveVariant.
      libraries: versions of what decides the bytes.
      workers: how many shards it builds at a time.
      seconds: for a variant, the median of the last ones; 0 = none is built yet.
      built: number of variants that it has built since it was started.
      time: when this was written, in seconds since 1970.
      run: directory of the run that it follows; "" = not known.
    """

    base: str
    recipe: str
    seed: int
    libraries: dict[str, str]
    workers: int
    seconds: float = 0.0
    built: int = 0
    time: float = 0.0
    run: str = ""

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> FollowerState:
        """The inverse of to_json, without what a later version adds.

        Raises:
          DatasetError: the text is none.
        """
        try:
            known = {field.name for field in dataclasses.fields(cls)}
            found = json.loads(text)
            made = cls(**{name: value for name, value in found.items() if name in known})
            check_types(made)
            if not all(isinstance(version, str) for version in made.libraries.values()):
                raise TypeError("libraries have versions")
            if made.workers < 1 or not all(
                math.isfinite(number) and number >= 0 for number in (made.seconds, made.time)
            ):
                raise ValueError("a figure is out of range")
            return made
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DatasetError(f"not a follower's file: {error}") from None
