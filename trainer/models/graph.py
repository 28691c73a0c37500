"""The graph of a model: its fingerprint, and the constants that follow its weights.

A state holds numbers only. They belong to one graph, and another one with as many numbers of the
same shapes would take them without a complaint; so a state is saved with the graph's fingerprint.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping

import tensorflow as tf

from trainer.compat.rescaling import as_rescaling
from trainer.models.weight_order import weights_in_order

# What of a layer's settings does not change what it gives out at inference for the same weights,
# or is fixed by the configuration: names, what only training reads, sizes of pictures, where a
# module of TF-Hub was found.
_NO_MATTER = {
    "name",
    "label",
    "handle",
    "trainable",
    "training",
    "dtype",
    "batch_input_shape",
    "batch_shape",
    "build_config",
    "build_input_shape",
    "registered_name",
    "module",
    "rate",
    "drop_path_rate",
    "momentum",
    "seed",
    "noise_shape",
    "synchronized",
    "optional",
    "ragged",
    "sparse",
}
_CODE_OF_LAMBDA = ("function", "output_shape", "mask")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_NO_MATTER_ENDS = ("_initializer", "_regularizer", "_constraint")


def fingerprint(model: tf.keras.Model) -> str:
    """sha256 over layers, what they are connected to, the shapes of their weights and constants.

    The same wherever the weights come from, whatever trains, under any precision and strategy, on
    both stacks.
    """
    described = json.dumps(list(_layers(model)), sort_keys=True, default=_plain)
    return hashlib.sha256(described.encode()).hexdigest()


def _layers(model: tf.keras.Model) -> Iterator[list[object]]:
    """[class, settings or inner layers, inputs, shapes of weights] of each layer of a model."""
    # A Sequential's entries have neither a name nor inputs, and its input is no layer of it.
    entries, layers = model.get_config()["layers"], {layer.name: layer for layer in model.layers}
    names = [entry.get("name") or entry["config"]["name"] for entry in entries]
    numbers = {name: number for number, name in enumerate(names)}
    for name, entry in zip(names, map(as_rescaling, entries), strict=True):
        layer = layers.get(name)
        inner = isinstance(layer, tf.keras.Model) and "layers" in entry["config"]
        yield [
            "Model" if inner else entry["class_name"].rpartition(">")[2],
            list(_layers(layer)) if inner else _constants(_settings(entry)),
            _numbered(entry.get("inbound_nodes"), numbers),
            [list(weight.shape) for weight in weights_in_order(layer)]
            if layer is not None and not inner
            else [],
        ]


def _settings(entry: Mapping[str, object]) -> object:
    """Those of a layer. A Lambda's hold its compiled code, which names its file and line: that the
    code is the same is known by the source of what the configuration names.
    """
    settings = entry["config"]
    if entry["class_name"] != "Lambda" or not isinstance(settings, Mapping):
        return settings
    return {name: each for name, each in settings.items() if name not in _CODE_OF_LAMBDA}


def _constants(value: object) -> object:
    """Settings without those that do not matter, at any depth."""
    if isinstance(value, Mapping):
        return {
            name: _constants(each)
            for name, each in value.items()
            if name not in _NO_MATTER and not name.endswith(_NO_MATTER_ENDS)
        }
    return [_constants(each) for each in value] if isinstance(value, (list, tuple)) else value


def _numbered(value: object, numbers: Mapping[str, int]) -> object:
    """The inputs of a layer with numbers for the names of layers, which Keras makes up."""
    if isinstance(value, str):
        return numbers.get(value, value)
    if isinstance(value, Mapping):
        kept = {name: each for name, each in value.items() if name not in _NO_MATTER}
        return {name: _numbered(each, numbers) for name, each in kept.items()}
    if isinstance(value, (list, tuple)):
        return [_numbered(each, numbers) for each in value]
    return value


def _plain(value: object) -> object:
    """Arrays and tensors as lists, anything else by its text, without where it is in memory."""
    return value.tolist() if hasattr(value, "tolist") else _ADDRESS.sub("", str(value))


def settle_constants(model: tf.keras.Model) -> None:
    """Has layers take over the weights that they keep a constant of; called after any restore.

    Keras's Normalization computes with copies of its mean and variance that are made when it is
    built, so a network whose variables alone are restored keeps using the ones before.
    """
    for layer in model._flatten_layers():
        layer.finalize_state()


def scale_as_imagenet(network: tf.keras.Model) -> None:
    """Lets a network of an old state, trained without ImageNet's factor, give what it gave with it.

    Until graphs had fingerprints, EfficientNet B0 to B7 were rebuilt without that layer, and with
    the constants 0 and 1 of Normalization, whatever its variables said. Followed by a factor c,
    (x - 0) / sqrt(c^2) is the same. Other networks are left alone.
    """
    entries = map(as_rescaling, network.get_config()["layers"])
    for entry, following in itertools.pairwise(entries):
        if (entry["class_name"], following["class_name"]) == ("Normalization", "Rescaling"):
            layer = network.get_layer(entry["config"]["name"])
            layer.adapt_mean.assign(tf.zeros_like(layer.adapt_mean))
            layer.adapt_variance.assign(tf.square(following["config"]["scale"]))
    settle_constants(network)
