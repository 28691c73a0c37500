"""First weights that come from elsewhere: a run, a state, a saved model, a checkpoint, a file.

Only numbers are read. A file of a stranger's may hold code (Lambda layers, graphs that write
files), whatever its suffix claims; so the network always comes from our own configuration, and a
file's tensors are put into it. docs/security.md says which files are code.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import h5py
import tensorflow as tf
from google.protobuf.message import DecodeError

from preprocess.shell.errors import ConfigError, first_line
from trainer.models.build_backbone import BACKBONE, network_of
from trainer.models.foreign_arrays import check_hdf5
from trainer.models.foreign_checkpoints import check_checkpoint
from trainer.models.graph import settle_constants
from trainer.models.saved_graph import reconcile
from trainer.models.wanted import WEIGHTS_WAYS_OUT
from trainer.models.weights_inside import read_from_checkpoint, read_from_hdf5, read_from_keras

# What reading tensors of a file that does not fit, or is damaged, may raise.
_MISFITS = (
    ValueError,
    OSError,
    KeyError,
    AssertionError,
    TypeError,
    IndexError,
    zipfile.BadZipFile,
    DecodeError,
    tf.errors.OpError,
)
WHOLE, BODY = "backbone and head", "the backbone only"
MAX_TENSOR_BYTES = 8 << 30  # of what an archive unpacks to

Ways: TypeAlias = "tuple[tuple[str, Callable[[tf.keras.Model], None]], ...]"
"""What is taken, and how, the fullest first."""


class _Found(NamedTuple):
    """Weights at a path: what they are, and the ways to read them, the fullest first; `state` is
    the folder where they are a saved state of a run's.
    """

    kind: str
    ways: Ways
    state: Path | None = None


def load_weights(model: tf.keras.Model, weights: str, say: Callable[[str], None]) -> None:
    """Fills a model's backbone, and its head where one of the same shape is there.

    Args:
      model: of build_model().
      weights: a run directory, one of its states, a SavedModel, the prefix or folder of a
        TensorFlow checkpoint, or a .keras, .weights.h5 or .h5 file: of the whole model, of its
        backbone, or of the network inside it alone.
      say: is told what was taken.

    Raises:
      ConfigError: there is nothing, or it does not fit.
    """
    before = [weight.numpy() for weight in model.weights]
    reasons: list[str] = []
    candidates = _find(Path(weights).expanduser(), weights)
    # A state after a damaged one, and the kinds of weights in a folder, in their order.
    for found, (taken, read) in ((each, way) for each in candidates for way in each.ways):
        try:
            read(model)
        except _MISFITS as error:
            reasons.append(first_line(error))
            for weight, value in zip(model.weights, before, strict=True):
                weight.assign(value)  # a way that failed half way leaves nothing behind
        else:
            if found.state:
                reconcile(model, found.state, say)
            settle_constants(model)
            say(f"weights of {weights} ({found.kind}): {taken}")
            return
    first = candidates[0]
    if first.state and not (first.state / "state.index").exists():
        load_weights(model, weights, say)  # its training has dropped it for a newer one meanwhile
        return
    raise ConfigError(
        f"model.weights={weights} ({first.kind}) does not fit this backbone "
        f"({reasons[len(first.ways) - 1][:200]}); {WEIGHTS_WAYS_OUT}"
    )


def _find(path: Path, given: str) -> list[_Found]:
    """What weights lie at a path, best first; raises ConfigError if there are none."""
    if path.is_dir():
        inside = [
            _Found(
                kind,
                _of_checkpoint(str(prefix), names),
                prefix.parent if prefix.name == "state" else None,
            )
            for kind, prefix, names in _checkpoints_in(path)
        ]
        if inside:
            return inside
        if (path / "config.json").is_file():
            raise ConfigError(
                f"model.weights={given}: that run has saved no state yet; let it train (its own "
                "command continues where it stopped)"
            )
        files = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
        raise ConfigError(
            f"model.weights={given}: a folder with neither a run's state, a SavedModel nor a "
            f"checkpoint in it, but {files}; {WEIGHTS_WAYS_OUT}"
        )
    if path.with_name(f"{path.name}.index").is_file():
        return [_Found("a checkpoint", _of_checkpoint(str(path), ("model", "")))]
    if not path.is_file():
        raise ConfigError(f"model.weights={given}: no such weights; {WEIGHTS_WAYS_OUT}")
    # Keras's newer files: an archive (.keras) or its tensors alone. load_weights() reads the
    # tensors of either and never the network.
    older = h5py.is_hdf5(path) and not path.name.endswith(".weights.h5")
    if older or path.suffix in (".keras", ".h5"):
        kind, ways = ("an HDF5 file", _of_hdf5) if older else ("a Keras file", _of_keras)
        try:
            _check(path)
        except _MISFITS as error:
            raise ConfigError(
                f"model.weights={given} ({kind}) is not read: {str(error)[:200]}; "
                f"{WEIGHTS_WAYS_OUT}"
            ) from None
        return [_Found(kind, ways(path))]
    raise ConfigError(
        f"model.weights={given}: a file that is neither .keras, .h5 nor a checkpoint; "
        f"{WEIGHTS_WAYS_OUT}"
    )


def _checkpoints_in(folder: Path) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """(kind, prefix, names of the model in it) of the checkpoints in a folder, best one first."""
    for kind in ("last", "best"):  # a run directory
        states = (folder / "checkpoints" / kind).glob("step-*/state.index")
        for state in sorted(states, reverse=True):
            yield f"a run, its {kind} state", state.with_suffix(""), ("model",)
    if (folder / "state.index").is_file():
        yield "a state", folder / "state", ("model",)
    for saved in (folder, folder / "model"):
        if (saved / "variables" / "variables.index").is_file():
            yield "a SavedModel", saved / "variables" / "variables", ("",)
    noted = folder / "checkpoint"
    latest = tf.train.latest_checkpoint(str(folder)) if noted.is_file() else None
    if latest and Path(latest).resolve().parent == folder.resolve():
        yield "a checkpoint", Path(latest), ("model", "")


def _of_checkpoint(prefix: str, names: tuple[str, ...]) -> Ways:
    """Ways to read a TensorFlow checkpoint whose root, or whose child of a name, is a model."""

    def within(model: tf.keras.Model) -> None:
        read_from_checkpoint(prefix, network_of(model.get_layer(BACKBONE)))

    def checked(read: Callable[[tf.keras.Model], None]) -> Callable[[tf.keras.Model], None]:
        def look_and_read(model: tf.keras.Model) -> None:
            check_checkpoint(prefix)
            read(model)

        return look_and_read

    def whole(name: str) -> Callable[[tf.keras.Model], None]:
        return lambda model: _restore(prefix, name, model)

    def body(name: str) -> Callable[[tf.keras.Model], None]:
        def read(model: tf.keras.Model) -> None:
            backbone = model.get_layer(BACKBONE)
            (child,) = [
                key
                for key, value in model._trackable_children().items()
                if value is backbone and key.startswith("layer_with_weights-")
            ]
            _restore(prefix, name, tf.train.Checkpoint(**{child: backbone}))

        return read

    ways = (
        *((WHOLE, whole(name)) for name in names),
        *((BODY, body(name)) for name in names),
        (BODY, lambda model: _restore(prefix, "", network_of(model.get_layer(BACKBONE)))),
        (BODY, within),
    )
    return tuple((taken, checked(read)) for taken, read in ways)


def _restore(prefix: str, name: str, into: tf.keras.Model | tf.train.Checkpoint) -> None:
    if isinstance(into, tf.keras.Model):
        # Its layers and not itself: what a state has of an optimizer would wait at the model for
        # one, and the rate of the other run would take the place of this one's.
        children = into._trackable_children().items()
        layers = {child: layer for child, layer in children if child.startswith("layer")}
        into = tf.train.Checkpoint(**layers)
    root = tf.train.Checkpoint(**{name: into}) if name else into
    status = root.read(prefix)
    status.assert_existing_objects_matched()
    status.expect_partial()


def _of_hdf5(path: Path) -> Ways:
    """Ways to read Keras's older files: weights by the name of their layer."""

    def read(model: tf.keras.Model, heads: bool) -> None:
        with h5py.File(path, "r") as file:
            layers = file.get("model_weights", file)
            wanted = [layer for layer in model.layers if layer.weights]
            for layer in wanted if heads else [model.get_layer(BACKBONE)]:
                group = layers[layer.name]
                names = [
                    name.decode() if isinstance(name, bytes) else str(name)
                    for name in group.attrs["weight_names"]
                ]
                ordered = layer.trainable_weights + layer.non_trainable_weights
                for weight, name in zip(ordered, names, strict=True):
                    weight.assign(group[name][()])

    def network(model: tf.keras.Model) -> None:
        read_from_hdf5(path, network_of(model.get_layer(BACKBONE)))

    return (
        (WHOLE, lambda model: read(model, heads=True)),
        (BODY, lambda model: read(model, heads=False)),
        (BODY, lambda model: network_of(model.get_layer(BACKBONE)).load_weights(str(path))),
        (BODY, network),
    )


def _of_keras(path: Path) -> Ways:
    """Ways to read Keras's newer files, whose groups nest as the layers do."""

    def inside(model: tf.keras.Model) -> None:
        body = model.get_layer(BACKBONE)
        read_from_keras(_tensors(path), (body, network_of(body)))

    return (
        (WHOLE, lambda model: model.load_weights(str(path))),
        (BODY, lambda model: model.get_layer(BACKBONE).load_weights(str(path))),
        (BODY, lambda model: network_of(model.get_layer(BACKBONE)).load_weights(str(path))),
        (BODY, inside),
    )


def _check(path: Path) -> None:
    """Raises one of _MISFITS where reading the numbers of a file would be no good."""
    with h5py.File(_tensors(path), "r") as file:
        check_hdf5(file, path.stat().st_size)


def _tensors(path: Path) -> Any:
    """The HDF5 file itself, or the one inside a .keras archive."""
    if path.suffix != ".keras":
        return path
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("model.weights.h5")
        if entry.file_size > MAX_TENSOR_BYTES:
            raise ValueError(f"{entry.file_size} bytes of weights")
        return io.BytesIO(archive.read(entry))
