"""Weights out of a saved state, and the graph they were saved with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import read_json
from trainer.models.backbones.keras import IMAGENET
from trainer.models.build_backbone import BACKBONE, network_of
from trainer.models.graph import fingerprint, scale_as_imagenet

GRAPH, BODY_GRAPH = "graph", "backbone_graph"  # keys of state.json


def graphs_of(model: tf.keras.Model) -> dict[str, str]:
    """The fingerprints that a state is saved with."""
    graphs = {GRAPH: fingerprint(model)}
    for body in _bodies(model):
        graphs[BODY_GRAPH] = fingerprint(body)
    return graphs


def _bodies(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """The backbone of a model; none where it was built by other means, as in a test."""
    return [layer for layer in model.layers if layer.name == BACKBONE]


def settle_old_state(model: tf.keras.Model, weights: str) -> None:
    """After a state without a fingerprint was put into a model; `weights` are its model.weights."""
    if weights != IMAGENET:
        for body in _bodies(model):
            scale_as_imagenet(network_of(body))


def reconcile(model: tf.keras.Model, state: Path, say: Callable[[str], None]) -> None:
    """After the numbers of a state (RUN/checkpoints/KIND/STEP) were put into another run's model.

    They fit by their shapes. Where the backbone around them is another one, such as one for
    another range of pixels, that is said.
    """
    try:
        saved = read_json(state / "state.json")
    except (OSError, DataError):
        return  # a network without a run
    if BODY_GRAPH in saved:
        if saved[BODY_GRAPH] != graphs_of(model).get(BODY_GRAPH):
            say(
                f"warning: the backbone of '{state}' has other layers or constants than this one, "
                "though its weights fit: look at model.pixel_range, model.pooling and image_size"
            )
        return
    try:
        record = read_json(state.parents[2] / "config.json")
        settle_old_state(model, str(record["config"]["model"]["weights"]))
    except (OSError, DataError, LookupError, TypeError):
        return
