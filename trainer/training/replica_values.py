"""Variables that differ between replicas, such as BatchNorm's statistics: each replica's value.

TensorFlow's checkpoints hold only the mean of these; an exact resume needs each of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from trainer.models.graph import settle_constants
from trainer.models.weight_order import weights_in_order
from trainer.training.session import Session


def copy_weights(before: Session, session: Session) -> None:
    """Gives a session the weights of another stage's, each replica's own: what restoring a state
    of that stage would; where its optimizer keeps averages, these.
    """
    taken = [weights_in_order(each.model) for each in (before, session)]
    with before.averages.in_place():
        for source, target in zip(*taken, strict=True):
            target.assign(source.numpy())
            for part, own in zip(_own_values(source), _own_values(target), strict=True):
                own.assign(part.numpy())
    settle_constants(session.model)


def differs_by_replica(model: tf.keras.Model) -> bool:
    """Whether there are variables whose value a state has of each replica."""
    return bool(_components(model))


def replica_values(model: tf.keras.Model) -> dict[str, np.ndarray]:
    """The values of this process's replicas, by VARIABLE/REPLICA."""
    return {
        f"{name}/{i}": component.numpy()
        for name, components in _components(model).items()
        for i, component in enumerate(components)
    }


def set_replica_values(model: tf.keras.Model, values: Mapping[str, np.ndarray]) -> None:
    """Assigns what replica_values() gave, unless the number of replicas differs."""
    components = _components(model)
    expected = {f"{name}/{i}" for name, parts in components.items() for i in range(len(parts))}
    if expected != set(values):
        return  # all start from the mean, which is already restored
    for name, parts in components.items():
        for i, component in enumerate(parts):
            component.assign(values[f"{name}/{i}"])


def _components(model: tf.keras.Model) -> dict[str, list[tf.Variable]]:
    """The variables that differ, by number, with their components."""
    numbered = ((str(number), _own_values(each)) for number, each in enumerate(model.weights))
    return {name: values for name, values in numbered if values}


def _own_values(variable: tf.Variable) -> list[tf.Variable]:
    """Those of each replica of this process, where they may differ; else []."""
    reads_mean = getattr(variable, "synchronization", None)
    differ = reads_mean == tf.VariableSynchronization.ON_READ
    return list(getattr(variable, "values", ())) if differ else []
