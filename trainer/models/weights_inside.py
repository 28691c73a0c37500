"""A network's weights from inside of files of something else: a model around it, with other heads.

Whoever saves a model saves what they have built around a network of Keras: a Sequential, layers of
their own, a training's state. Each place in the file that could be the network is tried. Numbers
are read, never a graph.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import h5py
import tensorflow as tf

MISFITS = (ValueError, KeyError, AssertionError, TypeError, IndexError, tf.errors.OpError)
FIRST_LAYER = "layer_with_weights-0"  # in a checkpoint, of every Keras model
SHOWN = 4  # names in a message


def read_from_checkpoint(prefix: str, network: tf.keras.Model) -> None:
    """Of a TensorFlow checkpoint or SavedModel, at whatever depth of its object graph.

    Raises:
      ValueError: no network in it has these layers; says what it holds.
    """
    names = [name for name, _ in tf.train.list_variables(prefix)]
    parts = f"/{FIRST_LAYER}/"
    places = {name.split(parts)[0] for name in names if parts in name and "SLOT" not in name}
    for place in sorted(places, key=lambda each: (each.count("/"), each)):
        try:
            status = _chain(place.split("/"), network).read(prefix)
            status.assert_existing_objects_matched().expect_partial()
        except MISFITS:
            continue
        return
    raise ValueError(_holds([name.partition("/.ATTR")[0] for name in names], network))


def _chain(names: Sequence[str], network: tf.keras.Model) -> tf.train.Checkpoint:
    """A checkpoint whose child of these names, one in another, is a network."""
    inner = network
    for name in reversed(names):
        inner = tf.train.Checkpoint(**{name: inner})
    return inner


def read_from_keras(tensors: Path | BinaryIO, targets: Sequence[tf.keras.Model]) -> None:
    """Of Keras's newer files (.keras, .weights.h5), whose groups nest as the layers do.

    Args:
      tensors: the HDF5 file, or its content as a file object.
      targets: networks, the first that fits is filled.

    Raises:
      ValueError: nothing in it has these layers; says what it holds.
    """
    with h5py.File(tensors) as file, tempfile.TemporaryDirectory(prefix="weights-") as folder:
        for number, group in enumerate(_nested(file)):
            copy = Path(folder, f"{number}.weights.h5")
            with h5py.File(copy, "w") as target:
                for name, child in group.items():
                    file.copy(child, target, name)
            for network in targets:
                try:
                    network.load_weights(str(copy))
                except MISFITS:
                    continue
                return
        raise ValueError(_holds(_arrays(file), targets[-1]))


def _nested(file: h5py.File) -> list[h5py.Group]:
    """The groups of the models inside of one, at any depth, each once: groups may be a ring."""
    found: list[h5py.Group] = []

    def look(name: str, item: object) -> None:
        inside = name.split("/")[-2:-1] == ["layers"]
        if inside and isinstance(item, h5py.Group) and "layers" in item:
            found.append(item)

    file.visititems(look)
    return found


def read_from_hdf5(path: Path, network: tf.keras.Model) -> None:
    """Of Keras's older files: one group for the whole network, or one a layer by its name.

    Raises:
      ValueError: nothing in it has these layers; says what it holds.
    """
    with h5py.File(path, "r") as file:
        layers = file.get("model_weights", file)
        ordered = network.trainable_weights + network.non_trainable_weights
        by_layer = [layer for layer in network.layers if layer.weights]
        if all(layer.name in layers for layer in by_layer):
            for layer in by_layer:
                own = layer.trainable_weights + layer.non_trainable_weights
                _assign(own, layers[layer.name])
            return
        for group in layers.values():
            if len(group.attrs.get("weight_names", ())) == len(ordered):
                _assign(ordered, group)
                return
        raise ValueError(_holds(_arrays(file), network))


def _assign(weights: Sequence[tf.Variable], group: h5py.Group) -> None:
    names = [
        name.decode() if isinstance(name, bytes) else str(name)
        for name in group.attrs["weight_names"]
    ]
    for weight, name in zip(weights, names, strict=True):
        weight.assign(group[name][()])


def _arrays(file: h5py.File) -> list[str]:
    """The names of all arrays in an HDF5 file."""
    names: list[str] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            names.append(name)

    file.visititems(note)
    return names


def _holds(names: Sequence[str], network: tf.keras.Model) -> str:
    """What is in a file, besides what a network has."""
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return (
        f"it holds {len(names)} arrays ({shown or 'none'}) and nowhere the "
        f"{len(network.weights)} of {network.name}"
    )
