"""The output of one layer inside a model, for `embed --layer`."""

from __future__ import annotations

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import nearest
from trainer.models.layer_rows import NOT_KNOWN, layers_by_path, output_shape

SHOWN = 5  # names in an error message


def inner_features(model: tf.keras.Model, name: str) -> tf.Tensor:
    """float[N,F], symbolic: a layer's output, averaged over its rows and columns if it has any.

    Args:
      model: a Keras graph.
      name: of a layer, as `check --layers` lists it; the part after the last slash is enough where
        only one layer has it.

    Raises:
      ConfigError: no such layer, or none with a single output.
    """
    output = _up_to(model, _path(model, name)).output
    if output.shape.rank == 2:
        return output
    if output.shape.rank == 4:  # in float32, whatever the precision of a run opened meanwhile
        return tf.keras.layers.GlobalAveragePooling2D(name="of_layer", dtype="float32")(output)
    return tf.keras.layers.Flatten(name="of_layer", dtype="float32")(output)


def _path(model: tf.keras.Model, name: str) -> tuple[str, ...]:
    """The layer's place: the names of the models that it is in, and its own."""
    layers = {"/".join(path): (path, layer) for path, layer in layers_by_path(model)}
    found = [name] if name in layers else [each for each in layers if each.endswith(f"/{name}")]
    if len(found) > 1:
        raise ConfigError(f"--layer={name}: there are {', '.join(found[:SHOWN])}; give one in full")
    if not found:
        near = nearest(name, [path[-1] for path, _ in layers.values()], SHOWN)
        hint = f"; similar names: {', '.join(near)}" if near else ""
        raise ConfigError(f"--layer={name}: no such layer{hint}; `check --layers` lists all")
    path, layer = layers[found[0]]
    if output_shape(layer) == NOT_KNOWN:
        raise ConfigError(f"--layer={name}: it has no single output of a known shape")
    return path


def _up_to(model: tf.keras.Model, path: tuple[str, ...]) -> tf.keras.Model:
    """The part of a model that ends with a layer, whose path leads through models inside it."""
    layer = model.get_layer(path[0])
    if len(path) == 1:
        return tf.keras.Model(model.inputs, layer.get_output_at(0))
    before = layer.inbound_nodes[-1].input_tensors
    return tf.keras.Model(model.inputs, _up_to(layer, path[1:])(before))
