"""Several runs, and several draws of their on-device layers, on the same pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.shell.errors import DataError, UsageError
from trainer.inference.serving import EMBEDDING, Item, Serving
from trainer.inference.trained_run import Run
from trainer.tasks.outputs import Floats, Outputs
from trainer.tasks.task import SQUARED


def check_drawn(runs: Iterable[Run]) -> None:
    """Raises UsageError if a run has no on-device layers to average over."""
    for run in runs:
        if not run.session.config.augment.enabled:
            raise UsageError(f"--tta: '{run.path}' has augment.enabled=False; omit --tta")


class Ensemble:
    """Runs of one task on bytes, averaged.

    A member is a run in one draw of its on-device layers, or without any.

    Attributes:
      first: the first of the runs, which reads the pictures for all.
      task: that of the first.
      dimensions: of its embeddings.
      classes, metric: see Serving.
    """

    def __init__(
        self, runs: Sequence[Run], tta: int = 0, average: str = "logits", layer: str = ""
    ) -> None:
        """`tta`: draws of each run; 0 = none. For `average` see Task.average(), for `layer` see
        Serving.

        Raises:
          DataError: runs whose pictures differ in shape.
          UsageError: draws of a run without on-device layers.
        """
        if tta:
            check_drawn(runs)
        self._servings = [Serving(run, layer) for run in runs]
        self._draws: list[int | None] = list(range(tta)) if tta else [None]
        self._average = average
        self.first = self._servings[0]
        for other in self._servings:
            if other.shape != self.first.shape:
                raise DataError(
                    f"'{other.run.path}' takes pictures of {_size(other)}, "
                    f"'{self.first.run.path}' of {_size(self.first)}: use one of them at a time"
                )
        self.task, self.classes = self.first.task, self.first.classes
        self.metric, self.layer = self.first.metric, layer
        self.dimensions = sum(serving.dimensions for serving in self._servings)

    def outputs(self, items: Sequence[Item], numbers: Sequence[int]) -> list[Floats]:
        """float64 [n, F] of each member, of the pictures that could be read."""
        return [
            serving.said_of(items, draw, numbers)[serving.task.output].astype(np.float64)
            for serving in self._servings
            for draw in self._draws
        ]

    def values(self, members: Sequence[Floats]) -> Floats:
        """float64 [F] of one record: the average over the members, of outputs [P, F] of its P
        pictures each; [F] where a record is one picture.
        """
        tasks = (serving.task for serving in self._servings for _ in self._draws)
        nothing = np.zeros(1)
        found = [
            Outputs(task.values(rows[np.newaxis]), nothing, nothing.astype(np.int64))
            for task, rows in zip(tasks, members, strict=True)
        ]
        mean: Floats = self.task.average(found, self._average).values[0]
        return mean

    def embeddings(self, items: Sequence[Item], numbers: Sequence[int]) -> NDArray[np.float32]:
        """float32 [n, E] of the pictures that could be read.

        Embeddings of several runs are in different spaces, so they are set side by side: the
        squared distance of two is then the mean of the runs' squared distances; where embeddings
        are compared by their cosine, that is the mean of the cosines.
        """
        parts = [self._mean_draw(serving, items, numbers) for serving in self._servings]
        if len(parts) == 1:
            return parts[0].astype(np.float32)
        if self.metric != SQUARED:
            parts = [_of_length_1(part) for part in parts]
        return (np.concatenate(parts, axis=1) / np.sqrt(len(parts))).astype(np.float32)

    def weights_digest(self) -> str:
        """That of the run; of several, the digest of theirs in order."""
        digests = [serving.weights_digest() for serving in self._servings]
        if len(digests) == 1:
            return digests[0]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def _mean_draw(self, serving: Serving, items: Sequence[Item], numbers: Sequence[int]) -> Floats:
        draws = [
            serving.said_of(items, draw, numbers)[EMBEDDING].astype(np.float64)
            for draw in self._draws
        ]
        return draws[0] if len(draws) == 1 else serving.task.mean_embedding(draws)


def _of_length_1(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Floats = rows / np.where(lengths > 0, lengths, 1.0)
    return scaled


def _size(serving: Serving) -> str:
    shape = serving.shape
    return f"{shape.height}x{shape.width}x{shape.channels}"
