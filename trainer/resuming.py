"""Going on from a saved state: which one, whether all workers can, what is no longer the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from trainer.checkpoints import LAST, Checkpoints
from trainer.crew import Crew
from trainer.errors import ConfigError, DataError
from trainer.generators import generators
from trainer.session import Session


def restore_newest(
    checkpoints: Checkpoints, session: Session, crew: Crew, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """Restores the newest state that every worker can, into the session.

    Returns:
      The rest of the state; None where nothing is saved.

    Raises:
      DataError: there are states, and none can be restored.
      ConfigError: the workers do not see the same states.
    """
    checkpoints.drop_torn()
    states = checkpoints.states(LAST)
    _check_same(states, crew)
    for path in states:
        problem: DataError | None = None
        try:
            state = checkpoints.read_state(path)
            checkpoints.restore(path, session)
        except DataError as error:
            problem = error
        if not crew.anyone(problem is not None):
            return state
        say(f"warning: {problem or f'another worker cannot restore {path}'}")
    if states:
        raise DataError(
            f"none of the {len(states)} saved states below '{states[0].parent}' can be "
            "restored; take them away to start from the beginning, or give another --workdir"
        )
    return None


def _check_same(states: list[Path], crew: Crew) -> None:
    """Raises ConfigError where the workers would not all start from the same state."""
    newest = int(states[0].name.split("-")[1]) if states else -1
    same = [crew.same(number) for number in (len(states), newest)]
    if not all(same):
        raise ConfigError(
            f"--workdir: worker {crew.rank} sees {len(states)} saved states, the newest "
            f"of step {newest}, another one does not; all must see the same run directory"
        )


def other_replicas(before: int, session: Session) -> str:
    """What a run loses that was saved on `before` replicas and goes on with another number."""
    words = [
        f"warning: saved on {before} replicas, going on on "
        f"{session.strategy.num_replicas_in_sync}: order, records and draws of our layers are "
        "the same; gradients are summed in another order, so the last bits of weights differ"
    ]
    layers = list(session.model._flatten_layers())
    if any(isinstance(layer, tf.keras.layers.BatchNormalization) for layer in layers):
        words.append("BatchNorm takes its statistics over batches of another size")
    if generators(session.model, session.config.seed):
        words.append("random layers inside the backbone draw other numbers")
    return "; ".join(words)
