"""Files of a user's own code for the tests, by the kind of thing that they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.config import keys

CNN = {"model": {"backbone": "cnn"}}
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
NETWORK = """
import tensorflow as tf

K = tf.keras.layers


class Gain(K.Layer):
    def build(self, shape):
        self.gain = self.add_weight("gain", shape[-1:], initializer="ones")

    def call(self, inputs):
        return inputs * self.gain


def body(images, width=8):
    maps = K.Conv2D(width, 3, 4)(images / 255.0)
    maps = K.BatchNormalization()(maps)
    return Gain()(tf.nn.relu(maps))


def head(features, outputs, rate=0.2):
    return K.Dense(outputs)(K.Dropout(rate)(features))
"""
LAYER = """
import tensorflow as tf

from trainer.models.layers.base import KeyedLayer


class Tint(KeyedLayer):
    def transform(self, images):
        return tf.clip_by_value(images + self.draw(images, (1, 1, 3), -10.0, 10.0), 0.0, 255.0)
"""
OPTIMIZER = """
import tensorflow as tf


class Heavy(tf.keras.optimizers.Optimizer):
    def __init__(self, learning_rate=1e-3, mass=0.9, name="Heavy", **kwargs):
        super().__init__(name=name, **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.mass = mass

    def build(self, variables):
        super().build(variables)
        if not getattr(self, "_built", False):
            self._built = True
            self.speeds = [self.add_variable_from_reference(v, "speed") for v in variables]

    def update_step(self, gradient, variable):
        speed = self.speeds[self._index_dict[self._var_key(variable)]]
        speed.assign(self.mass * speed - self.learning_rate * gradient)
        variable.assign_add(speed)

    def get_config(self):
        rate = self._serialize_hyperparameter(self._learning_rate)
        return {**super().get_config(), "learning_rate": rate, "mass": self.mass}


def triangle(step, total_steps, top=0.01):
    if step < total_steps / 2:
        return top * (step + 1) / total_steps
    return top * (total_steps - step) / total_steps
"""
CALLBACK = """
class Patience:
    def __init__(self):
        self.seen = []

    def set_model(self, model):
        self.model = model

    def on_epoch_end(self, epoch, logs):
        self.seen.append(logs["val_loss"])
        self.model.stop_training = len(self.seen) == 2

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]
"""
TASK = """
import numpy as np
import tensorflow as tf

from trainer.tasks.classes import Classes

RECORDS = "classification"


class Near(Classes):
    def hits(self, outputs, batch):
        off = tf.abs(tf.argmax(outputs, -1) - tf.cast(batch["label"], tf.int64))
        return off <= 1, tf.ones_like(off, tf.bool)

    def wrong(self, outputs):
        return np.abs(outputs.values.argmax(-1) - outputs.targets.astype(np.int64)) > 1
"""

# The keys that take a reference, and of them those that only training makes use of.
OF_TRAINING = ("optimizer.name", "optimizer.schedule", "callbacks")
KEYS = (
    "loss.name",
    "metrics",
    "model.backbone",
    "model.head",
    "augment.layers",
    "task",
    *OF_TRAINING,
)


def nested(key: str, reference: str) -> dict[str, Any]:
    """A configuration, as config.json has it, with a reference as a key's value or only item."""
    value = [reference] if isinstance(keys.KEYS[key].default, tuple) else reference
    section, _, leaf = key.rpartition(".")
    return (
        {**CNN, section: {**CNN.get(section, {}), leaf: value}} if section else {**CNN, leaf: value}
    )


def write(folder: Path, **files: str) -> Path:
    """NAME.py of each, in a folder that is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder
