"""A dataset whose classes are not those of a run, in number or order: they are matched by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from preprocess.shell.errors import DataError

UNKNOWN_CLASS = "a picture of a class that the run does not know"
SHOWN = 5  # class names in a message
Relabel = Callable[[dict[str, Any]], dict[str, Any]]


def matched(
    known: Sequence[str], stored: Sequence[str], say: Callable[[str], None]
) -> Relabel | None:
    """What gives the labels of a dataset's batches the numbers that a run has for their classes.

    Args:
      known: class names of the run.
      stored: those of the dataset.
      say: takes what differs.

    Returns:
      None if they are the same. Else a function of batches, of which an InvalidArgumentError
      with UNKNOWN_CLASS comes where there is a picture of a class that the run does not know.

    Raises:
      DataError: no class of the dataset is one of the run's.
    """
    if list(known) == list(stored):
        return None
    numbers = {name: number for number, name in enumerate(known)}
    unknown = [name for name in stored if name not in numbers]
    missing = sorted(set(known) - set(stored))
    if len(unknown) == len(stored):
        raise DataError(
            f"none of the dataset's classes ({_names(stored)}) is one of those the run was "
            f"trained on ({_names(known)})"
        )
    differences = [
        f"{count} {what} ({_names(names)})"
        for what, names, count in (
            ("the run does not know", unknown, len(unknown)),
            ("are not in the dataset", missing, len(missing)),
        )
        if names
    ]
    say(
        "warning: the dataset's classes are not those of the run, matched by name: "
        + ("; ".join(differences) or "in another order")
    )
    table = tf.constant([numbers.get(name, -1) for name in stored], tf.int64)

    # Of several labels, the column of each that the run knows; the last one is of none.
    there = {name: number for number, name in enumerate(stored)}
    columns = tf.constant([there.get(name, len(stored)) for name in known])
    odd_ones = tf.constant([there[name] for name in unknown], tf.int32)

    def relabel(batch: dict[str, Any]) -> dict[str, Any]:
        if "labels" in batch:
            labels = batch["labels"]
            odd = tf.boolean_mask(tf.gather(labels, odd_ones, axis=1), batch["weight"] > 0)
            padded = tf.pad(labels, [[0, 0], [0, 1]])
            with tf.control_dependencies([tf.Assert(~tf.reduce_any(odd > 0), [UNKNOWN_CLASS])]):
                return {**batch, "labels": tf.gather(padded, columns, axis=1)}
        label = tf.gather(table, tf.cast(batch["label"], tf.int64))
        odd = tf.boolean_mask(batch["label"], (label < 0) & (batch["weight"] > 0))
        with tf.control_dependencies([tf.Assert(tf.size(odd) == 0, [UNKNOWN_CLASS, odd])]):
            label = tf.cast(tf.maximum(label, 0), batch["label"].dtype)
        return {**batch, "label": label}

    return relabel


def unknown_class(
    error: Exception, known: Sequence[str], stored: Sequence[str], split: str
) -> DataError | None:
    """The user's error where one of TensorFlow's is that of `matched`."""
    if UNKNOWN_CLASS not in str(getattr(error, "message", "")):
        return None
    names = [name for name in stored if name not in known]
    return DataError(
        f"'{split}' has pictures of classes that the run was not trained on, which are "
        f"{_names(names)}; evaluate a split without them, or train with them"
    )


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
