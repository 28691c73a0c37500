"""Files of a user's own code for the tests, by the kind of thing that they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.config import keys

NETWORK = {"model": {"backbone": "cnn"}}
LOSS = """
import tensorflow as tf

from helper import one_hot


def brier(values, targets, power=2.0):
    wanted = one_hot(targets, values.shape[-1])
    return tf.reduce_sum(tf.abs(tf.nn.softmax(values) - wanted) ** power, -1)
"""
HELPER = """
import tensorflow as tf


def one_hot(labels, classes):
    return tf.one_hot(labels, classes)
"""
METRIC = """
GREATER = False


def error_rate(scores, truth):
    return (scores.argmax(-1) != truth).mean()
"""

# The keys that take a reference, and of them those that only training makes use of.
KEYS = ("loss.name", "metrics")
OF_TRAINING: tuple[str, ...] = ()


def nested(key: str, reference: str) -> dict[str, Any]:
    """A configuration, as config.json has it, with a reference as a key's value or only item."""
    value = [reference] if isinstance(keys.KEYS[key].default, tuple) else reference
    section, _, leaf = key.rpartition(".")
    return {**NETWORK, section: {leaf: value}} if section else {**NETWORK, leaf: value}


def write(folder: Path, **files: str) -> Path:
    """NAME.py of each, in a folder that is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder
