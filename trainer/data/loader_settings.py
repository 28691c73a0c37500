"""The settings of `open_dataset`."""

from __future__ import annotations

import dataclasses
import os

from preprocess.dataset_format import Manifest, Split
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.nearest import did_you_mean
from trainer.config.bounds import MOST_SEED
from trainer.config.running_sections import DataConfig

_DATA = DataConfig()


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """The settings of `open_dataset`; those shared with the trainer are named as its keys.

    Attributes:
      split: the name of the split.
      batch_size: records of the global batch, over all workers together.
      seed: of the order.
      image_size: side to which pictures are stretched if the dataset stores several sizes. If it
        stores one, batches have that: resize them on your device.
      worker: (rank, count): this process gets the rows of one of `count` workers.
      variants: stored variants used in training; 0 = all, 1 = only the unaugmented picture.
      channels: of the pixels, 1 or 3.
      training: shuffled, in all selected variants; otherwise stored order and variant 0. None =
        True for the split "train".
      shuffle_megabytes: a pass over classes is shuffled within groups of shards of this many MB.
      threads: that read and decode.
      ahead: batches that are prepared in advance.
      cache_bytes: memory for decoded pictures; None = half of the free memory for triplets, which
        use each picture several times, and 0 for classes.
    """

    split: str = "train"
    batch_size: int = 64
    seed: int = 0
    image_size: int = 160
    worker: tuple[int, int] = (0, 1)
    variants: int = 1
    channels: int = 3
    training: bool | None = None
    shuffle_megabytes: int = _DATA.shuffle_megabytes
    threads: int = dataclasses.field(default_factory=lambda: len(os.sched_getaffinity(0)))
    ahead: int = 4
    cache_bytes: int | None = None

    @classmethod
    def of(cls, settings: JsonObject) -> LoaderSettings:
        """Checked settings; raises ConfigError for an unknown one or a bad value."""
        names = [field.name for field in dataclasses.fields(cls)]
        for name in settings.keys() - set(names):
            raise ConfigError(
                f"open_dataset takes no {name!r}{did_you_mean(name, names)}; it takes "
                + ", ".join(names)
            )
        made = cls(**settings)
        made._check()
        return made

    @property
    def in_training(self) -> bool:
        """Whether batches are shuffled and endless."""
        return self.split == _DATA.train_split if self.training is None else self.training

    def variants_of(self, split: Split) -> int:
        """The number of variants of a split in use."""
        return min(self.variants or split.variants, split.variants) if self.in_training else 1

    @staticmethod
    def sizes_differ(manifest: Manifest) -> bool:
        """Whether a dataset's pictures have several sizes."""
        return manifest.image.height is None or manifest.image.width is None

    def what_orders(self, split: Split) -> dict[str, object]:
        """The settings that determine the records of a step, for the split that they name."""
        return {
            "split": self.split,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "variants": self.variants_of(split),
            "training": self.in_training,
            "shuffle_megabytes": self.shuffle_megabytes,
        }

    def _check(self) -> None:
        bounds = {
            "batch_size": (1, 1 << 20),
            "seed": (0, MOST_SEED),
            "image_size": (8, 8192),
            "variants": (0, 10_000),
            "shuffle_megabytes": (1, 1 << 20),
            "threads": (1, 1024),
            "ahead": (1, 1024),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ConfigError(f"{name}={value!r}: must be an integer from {least} to {most}")
        if self.channels not in (1, 3):
            raise ConfigError(f"channels={self.channels!r}: must be 1 or 3")
        if self.cache_bytes is not None and self.cache_bytes < 0:
            raise ConfigError(f"cache_bytes={self.cache_bytes!r}: must be 0 or more, or None")
        rank, count = self.worker
        if not 0 <= rank < count:
            raise ConfigError(f"worker={self.worker}: must be (rank, count), 0 <= rank < count")
        if self.batch_size % count:
            raise ConfigError(
                f"batch_size={self.batch_size} is the global batch and cannot be divided evenly "
                f"among {count} workers"
            )
