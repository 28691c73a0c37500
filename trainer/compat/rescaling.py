"""One description of a factor on pixels, which Keras writes in two ways.

EfficientNet's graph of ImageNet ends its preprocessing with a factor a channel: a Rescaling layer
in Keras 2.15, the operation tf.math.multiply in tf-keras 2.21. The numbers are the same, and a
state of either is one of the other. The second branch can go when tf-keras writes a layer again,
the whole module with the default stack.
"""

from __future__ import annotations

import numpy as np

from preprocess.shell.json_text import JsonObject


def as_rescaling(entry: JsonObject) -> JsonObject:
    """A layer's entry in a model's get_config(); a factor for each channel as a Rescaling of
    float32 numbers, any other as it is.
    """
    config = entry["config"]
    if entry["class_name"] == "Rescaling" and np.ndim(config["scale"]):
        return {**entry, "config": {**config, "scale": _plain(config["scale"])}}
    if entry["class_name"] != "TFOpLambda" or config["function"] != "math.multiply":
        return entry
    name, node, tensor, arguments = entry["inbound_nodes"][0]
    try:
        scale = _plain(arguments["y"])
    except (KeyError, TypeError, ValueError):  # of two tensors
        return entry
    plain = {"name": config["name"], "scale": scale, "offset": 0.0}
    inputs = [[[name, node, tensor, {}]]]
    return {**entry, "class_name": "Rescaling", "config": plain, "inbound_nodes": inputs}


def _plain(scale: object) -> list[float]:
    """float32 numbers in one row. Raises ValueError or TypeError if they are none."""
    return [float(each) for each in np.ravel(np.asarray(scale, "float32"))]
