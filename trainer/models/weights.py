"""First weights that come from elsewhere: another run, a saved model, a file of a network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from trainer.errors import ConfigError
from trainer.models.backbones import BACKBONE, WEIGHTS_WAYS_OUT, network_of


def load_weights(model: Any, weights: str, say: Callable[[str], None]) -> None:
    """Fills a model's backbone, and its head where one of the same size is there.

    Args:
      model: of build_model().
      weights: a run directory, a model saved by the trainer (.keras or a folder), or a file of
        weights for the network of the backbone alone.
      say: is told what was taken.

    Raises:
      ConfigError: there is nothing, or it does not fit.
    """
    path = Path(weights)
    if (path / "config.json").is_file():  # a run directory
        path /= "model"
        if not path.exists():
            raise ConfigError(
                f"model.weights={weights}: that run has no model yet; let it end (its own command "
                "goes on where it stopped)"
            )
    if not path.exists():
        raise ConfigError(f"model.weights={weights}: no such weights; {WEIGHTS_WAYS_OUT}")
    body = model.get_layer(BACKBONE)
    try:
        if path.is_dir() or path.suffix == ".keras":
            saved = tf.keras.models.load_model(path, compile=False)
            body.set_weights(saved.get_layer(BACKBONE).get_weights())
            taken = _take_head(model, saved)
        else:
            network_of(body).load_weights(str(path))
            taken = "the backbone only"
    except (ValueError, OSError, KeyError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"model.weights={weights} does not fit this backbone ({reason}); {WEIGHTS_WAYS_OUT}"
        ) from error
    say(f"weights of {weights}: {taken}")


def _take_head(model: Any, saved: Any) -> str:
    """Copies the head of a saved model where it fits; returns what was taken, in words."""
    ours, theirs = _head(model), _head(saved)
    if [w.shape for w in ours] != [w.shape for w in theirs]:
        return (
            f"the backbone only; its head gives {saved.output_shape[-1]} numbers, "
            f"this one {model.output_shape[-1]}"
        )
    for weight, value in zip(ours, theirs, strict=True):
        weight.assign(value)
    return "backbone and head"


def _head(model: Any) -> list[Any]:
    return [w for layer in model.layers if layer.name != BACKBONE for w in layer.weights]
