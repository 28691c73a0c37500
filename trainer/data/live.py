"""`data.variants=live`: pass p is read from variant p, which a follower builds meanwhile.

The files are those of preprocess/live_format.py. The training waits for its next pass's variant in
its own thread (training/variant_wait.py); the threads that read ahead wait here. With
`data.on_late=reuse` neither waits: the newest variant there is takes the place of the missing one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from preprocess.dataset_format import (
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    DatasetError,
    Manifest,
    Shard,
)
from preprocess.live_format import (
    ALIVE_SECONDS,
    FOLLOWER_FILE,
    LIVE_FOLDER,
    MAX_FOLLOWER_BYTES,
    FollowerState,
    LiveVariant,
    base_digest,
    live_manifest_file,
)
from preprocess.shell.errors import ConfigError, DataError, RestartError
from preprocess.shell.kept_follower import HOW_TO_FOLLOW
from trainer.config.running_sections import REUSE, DataConfig
from trainer.data import storage
from trainer.data.records import check_shards

POLL_SECONDS = 0.2  # between two looks for a variant


class LiveVariants:
    """The image shards of every variant of a training split, those to come among them.

    Attributes:
      reuses: whether an older variant takes the place of one that is late.
      stored: number of variants in the dataset itself.
      base: base_digest() of the dataset.
      folder: with the live variants.
      reused: variant by pass, of the passes that have begun with an older one.
      on_reuse: called with (pass, variant) where one begins so.
      on_live: called with each live variant as it is first seen; refuses it by an error.
      say: takes a message.
    """

    def __init__(
        self, dataset: str, manifest: Manifest, split: str, on_late: str, run: str = "RUN"
    ) -> None:
        """Raises ConfigError if live variants were made by another recipe than the dataset's."""
        found = manifest.split(split)
        self._dataset, self._manifest = dataset, manifest
        self.base = base_digest(manifest)
        self._shards = {number: found.image_shards(number) for number in range(found.variants)}
        self._counts = [shard.records for shard in self._shards[0]]
        self.folder = os.path.join(dataset, LIVE_FOLDER)
        self._run = run  # for messages
        self._over = threading.Event()
        self.reuses = on_late == REUSE
        self.stored = found.variants
        self.reused: dict[int, int] = {}
        self._chosen: dict[int, int] = {}  # the same of passes that are only read ahead
        self._missed = False
        self.on_reuse: Callable[[int, int], None] = lambda of_pass, variant: None
        self.on_live: Callable[[LiveVariant], None] = lambda found: None
        self.say: Callable[[str], None] = lambda message: None
        self._lock = threading.Lock()
        follower = self.follower()
        if follower and follower.base == self.base and not self._by_this_recipe(follower):
            raise ConfigError(
                f"the live variants of '{dataset}' were made by another recipe or seed than its "
                f"own: remove '{self.folder}' and start a new run"
            )

    def __getitem__(self, variant: int) -> Sequence[Shard]:
        """The image shards of a variant that is there, in the order of variant 0's."""
        if variant not in self._shards and not self.there(variant):
            raise DataError(
                f"variant {variant} of '{self._dataset}' was removed while it was read: if another "
                "run's follower did it, train them one at a time or on copies of the dataset, else "
                "give `preprocess follow` a larger --keep"
            )
        return self._shards[variant]

    def __iter__(self) -> Iterator[Sequence[Shard]]:
        """The shards of the dataset's own variants, then of live ones that are still there."""
        for variant, shards in sorted(self._shards.items()):
            path = os.path.join(self._dataset, live_manifest_file(variant))
            if variant < self.stored or storage.exists(path):
                yield shards

    def __len__(self) -> int:
        """The number of the dataset's own variants."""
        return self.stored

    def there(self, variant: int) -> bool:
        """Whether a variant is whole; looks for it.

        Raises:
          DataError: it is not of this dataset, or a file of it has another size.
        """
        if variant in self._shards:
            return True
        path = os.path.join(self._dataset, live_manifest_file(variant))
        if not storage.exists(path):
            return False
        try:
            text = storage.read_small(path, MAX_MANIFEST_BYTES).decode("utf-8", "replace")
        except DataError:
            if storage.exists(path):
                raise
            return False  # removed since
        self._shards[variant] = self._checked(path, variant, text)
        return True

    def belongs_to(self, run: str, say: Callable[[str], None]) -> None:
        """Tells it the run that it is read by, and what takes its messages."""
        self._run, self.say = run, say

    def variant(self, pass_number: int) -> int:
        """The variant that a pass reads, once it is there.

        Raises:
          RestartError: close() was called meanwhile.
        """
        if not self.reuses:
            while not self.there(pass_number):
                if self._over.wait(POLL_SECONDS):
                    raise RestartError(f"the training ended before variant {pass_number} came")
            return pass_number
        with self._lock:
            before = self._older(pass_number)
            if before is not None and self.there(before):
                return before
            if before is None and self.there(pass_number):
                # Later calls of this pass find it in memory, even if it is removed meanwhile.
                return pass_number
            older = next(v for v in range(pass_number - 1, -1, -1) if self.there(v))
            self._chosen[pass_number] = older
            return older

    def begins(self, pass_number: int) -> bool:
        """Called when the steps reach a pass; whether it is the first to learn that the pass takes
        an older variant. What is read ahead may never be trained on.
        """
        variant = self.variant(pass_number)
        if variant == pass_number or self.reused.get(pass_number) == variant:
            return False
        self.reused[pass_number] = variant
        self.on_reuse(pass_number, variant)
        return True

    def now_read(self, pass_number: int) -> int:
        """The variant that a pass reads, as far as it is decided; for a follower to keep it."""
        older = self._older(pass_number) if self.reuses else None
        return pass_number if older is None else older

    def _older(self, pass_number: int) -> int | None:
        return self._chosen.get(pass_number, self.reused.get(pass_number))

    def of(self, pass_number: int, shard: int) -> int:
        """The variant of a shard in a pass: the same for all shards."""
        del shard
        return self.variant(pass_number)

    def known(self, pass_number: int) -> bool:
        """Whether the variant of a pass is there, or another one in its place."""
        return (self.reuses and self._older(pass_number) is not None) or self.there(pass_number)

    def files(self, pass_number: int) -> list[str]:
        """Paths of the shards that a pass reads."""
        shards = self[self.variant(pass_number)]
        return [os.path.join(self._dataset, shard.file) for shard in shards]

    def reused_passes(self, passes: int) -> list[dict[str, int]]:
        """The first `passes` passes that took an older variant, for report.json."""
        return [
            {"pass": of_pass, "variant": variant}
            for of_pass, variant in sorted(self.reused.items())
            if of_pass < passes
        ]

    def wait(self, pass_number: int, seconds: float = POLL_SECONDS) -> bool:
        """Whether the variant of a pass is there, after waiting for it for at most so long."""
        if self.there(pass_number):
            return True
        self._over.wait(seconds)
        return self.there(pass_number)

    def check_dataset(self) -> None:
        """Raises DataError if dataset.json is missing at two calls in a row."""
        path = os.path.join(self._dataset, MANIFEST_FILE)
        missed, self._missed = self._missed, not storage.exists(path)
        if missed and self._missed:
            raise DataError(
                f"'{path}' is gone, so no variant will come: bring the dataset back, and run the "
                "same command again to resume"
            )

    def close(self) -> None:
        """Ends the threads that wait for a variant."""
        self._over.set()

    def follower(self) -> FollowerState | None:
        """What the follower last said of itself; None if there has been none."""
        path = os.path.join(self._dataset, FOLLOWER_FILE)
        try:
            if not storage.exists(path):
                return None
            return FollowerState.from_json(
                storage.read_small(path, MAX_FOLLOWER_BYTES).decode("utf-8")
            )
        except (DatasetError, DataError, UnicodeDecodeError):
            return None

    def follower_at_work(self) -> str:
        """What the follower that is running does; "" = there is none."""
        found = self.follower()
        if found is None or abs(time.time() - found.time) >= ALIVE_SECONDS:
            return ""
        rate = f", {found.seconds:.3g} s a variant" if found.seconds else ""
        # As Python writes it: the file may hold anything, also what a terminal takes for orders.
        of_run = f" of {found.run[:200]!r}" if found.run else ""
        return f"a follower{of_run} is at work ({found.workers} worker(s){rate})"

    @property
    def how_to_follow(self) -> str:
        """What starts a follower, or shows why that of `launch train` is not at work."""
        kept = os.environ.get(HOW_TO_FOLLOW)
        return kept or f"start `python -m preprocess follow {self._dataset} --run={self._run}`"

    def _by_this_recipe(self, made: FollowerState | LiveVariant) -> bool:
        """Whether it goes with the dataset's variants, if the dataset has a recipe."""
        manifest = self._manifest
        if not manifest.recipe:
            return made.seed == manifest.seed
        return (made.recipe, made.seed) == (manifest.recipe, manifest.seed)

    def _checked(self, path: str, variant: int, text: str) -> list[Shard]:
        try:
            found = LiveVariant.from_json(text)
        except DatasetError as error:
            raise DataError(f"'{path}': {error}") from None
        same = (found.variant, found.base) == (variant, self.base) and self._by_this_recipe(found)
        if not same or [shard.records for shard in found.shards] != self._counts:
            raise DataError(
                f"'{path}' is not of the dataset as this run reads it: remove "
                f"'{os.path.dirname(path)}', and start `preprocess follow` again"
            )
        storage.check_inside(self._dataset, [shard.file for shard in found.shards])
        check_shards(self._dataset, found.shards)
        self.on_live(found)
        return list(found.shards)


def live_variants(
    dataset: str, manifest: Manifest, split: str, config: DataConfig
) -> LiveVariants | None:
    """The live variants of a training split, if the configuration asks for them."""
    return LiveVariants(dataset, manifest, split, config.on_late) if config.live else None
