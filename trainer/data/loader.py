"""Opens a dataset for your own training loop: the trainer's batches, from any step."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from preprocess.dataset_format import Manifest, digest
from preprocess.shell.entries import load
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from trainer.config.task_table import task_kind
from trainer.data.dataset import load_manifest
from trainer.data.loader_settings import LoaderSettings
from trainer.data.numpy_batches import Batch, StepBatches
from trainer.data.order import steps_per_pass
from trainer.data.prefetching import in_order

if TYPE_CHECKING:
    import tensorflow as tf


def open_dataset(dataset: str, **settings: Any) -> Loader:
    """Opens a split of a dataset directory.

        loader = open_dataset("faces", split="train", batch_size=64, seed=0)
        for batch in loader.numpy_batches():
            batch["image"], batch["label"]

    Args:
      dataset: the dataset directory, or its address (gs://..., which imports TensorFlow).
      **settings: see `LoaderSettings`, also for defaults.

    Raises:
      DataError: there is no dataset, a split is empty, or a shard is missing or damaged.
      ConfigError: unknown setting, bad value, or unknown split.
      StorageError: the storage does not respond.
    """
    chosen = LoaderSettings.of(settings)
    manifest = load_manifest(dataset)
    if chosen.split not in manifest.splits:
        raise ConfigError(
            f"no split '{chosen.split}' in '{dataset}', it has {', '.join(manifest.splits)}"
        )
    return Loader(dataset, manifest, chosen)


class Loader:
    """The batches of a split, each a function of its step: `batch(step)`.

    A batch is a dict of arrays, the ones of trainer/data/reader.py: `image` uint8, `label`,
    `labels`, `numbers` or `votes`, `weight`, `share`, `row` and `record`. They are bit for bit
    those that `python -m trainer train` sees for the same dataset, seed and batch size.

    Attributes:
      task: of the dataset, such as "classification" or "triplet".
      classes: class names; () if it has none.
      targets: of the numbers, with their names; () if it has none.
      batch_size: of the global batch.
      records: number of records in a pass.
      steps_per_pass: steps that see every record once; the last one is padded with weight 0.
      row_shape: of a row of `image`: (H, W, C), or (3, H, W, C) for triplets.
      step: of the next batch, counted over passes.
    """

    def __init__(self, dataset: str, manifest: Manifest, settings: LoaderSettings) -> None:
        kind: type[StepBatches] = load(task_kind(manifest.task).batches)
        self._batches = kind(dataset, manifest, settings)
        self._settings = settings
        split = manifest.split(settings.split)
        used = [
            (shard.file, shard.sha256)
            for shard in split.shards
            if shard.variant < settings.variants_of(split)
        ]
        self._made_with = {**settings.what_orders(split), "reads": digest(used)}
        self.task, self.classes = manifest.task, manifest.classes
        self.targets = manifest.targets
        self.batch_size, self.records = settings.batch_size, self._batches.records
        self.steps_per_pass = steps_per_pass(self.records, self.batch_size)
        self.row_shape = self._batches.row_shape
        self.step = 0

    def batch(self, step: int) -> Batch:
        """This worker's rows of the batch of a step, counted over passes from 0.

        Raises:
          DataError: a record is damaged; the message has its file and offset.
        """
        return self._batches.batch(step)

    def numpy_batches(self, steps: int | None = None) -> Iterator[Batch]:
        """Batches from `step` on, read and decoded ahead by threads, which end with the iterator.

        `steps` is their number; None = endless in training, otherwise up to the end of the pass.
        """
        stop = self._stop(steps)
        numbers = itertools.count(self.step) if stop is None else range(self.step, stop)
        threads, ahead = self._settings.threads, self._settings.ahead
        with contextlib.closing(
            in_order(self.batch, numbers, threads=threads, ahead=ahead)
        ) as batches:
            for batch in batches:
                self.step += 1
                yield batch

    def tf_dataset(self, steps: int | None = None) -> tf.data.Dataset:
        """The same batches as a tf.data.Dataset of dicts of tensors.

        tf.data reads ahead, so `step` does not follow it: pass your loop's step to `state_dict`.
        """
        from trainer.data.loader_ring import ring  # imports TensorFlow

        return ring(
            self.batch,
            (self.step, self._stop(steps)),
            self._batches.arrays,
            threads=self._settings.threads,
            ahead=self._settings.ahead,
        )

    def state_dict(self, step: int | None = None) -> JsonObject:
        """What a later process needs to resume: plain values, for JSON or any checkpoint.

        `step` is the number of finished batches; None = those that numpy_batches() has yielded.
        """
        return {"step": self.step if step is None else int(step), **self._made_with}

    def load_state_dict(self, state: JsonObject) -> None:
        """Resumes after the batches of a state, on any number of workers.

        Raises:
          ConfigError: the state is from another dataset or other settings.
        """
        differ = [
            f"{name} ({state.get(name)!r} -> {value!r})"
            for name, value in self._made_with.items()
            if state.get(name) != value
        ]
        if differ:
            raise ConfigError(f"the state belongs to other batches: {', '.join(differ)}")
        step = state.get("step")
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise ConfigError(f"the state has an invalid step: {step!r}")
        self.step = step

    def _stop(self, steps: int | None) -> int | None:
        """One more than the last step; None = endless."""
        if steps is not None:
            return self.step + steps
        if self._settings.in_training:
            return None
        return self.step - self.step % self.steps_per_pass + self.steps_per_pass
