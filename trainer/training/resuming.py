"""Resuming from a saved state: which one, whether all workers can, and what will differ."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from preprocess.shell.errors import ConfigError, DataError
from preprocess.shell.json_text import JsonObject, json_text
from preprocess.shell.reference_source import source_changes
from trainer.models.generators import generators
from trainer.training.checkpoints import BEST, LAST, STAGE, Checkpoints
from trainer.training.session import Session
from trainer.workers.worker_group import WorkerGroup

_HASH_BYTES = 4  # of a hash: the sum over all workers stays exact


def restore_newest(
    checkpoints: Checkpoints,
    session_of: Callable[[int], Session],
    workers: WorkerGroup,
    say: Callable[[str], None],
) -> JsonObject | None:
    """Restores the newest state that every worker can, into the session of its stage.

    Args:
      checkpoints: of the run.
      session_of: gives the session, with its optimizer, of a stage.
      workers: this one and the others.
      say: takes a message.

    Returns:
      The rest of the state; None if nothing is saved.

    Raises:
      DataError: there are states, but none can be restored.
      ConfigError: the workers do not see the same states.
    """
    checkpoints.drop_torn()
    states = checkpoints.states(LAST)
    _check_same(states, workers)
    for path in states:
        state, problem = _restored(checkpoints, path, session_of, workers)
        if state:
            return state
        say(f"warning: {problem or f'another worker cannot restore {path}'}")
    if states:
        best = _best_instead(checkpoints, session_of, workers, states[0].parents[2])
        raise DataError(
            f"none of the {len(states)} saved states below '{states[0].parent}' can be "
            f"restored; {best}remove them to start from the beginning, or give another --workdir"
        )
    return None


def _restored(
    checkpoints: Checkpoints,
    path: Path,
    session_of: Callable[[int], Session],
    workers: WorkerGroup,
) -> tuple[JsonObject | None, DataError | None]:
    """Restores one state on all workers; None if one cannot, and why if it is this one."""
    problem: DataError | None = None
    stage, state = 0, None
    try:
        stage = checkpoints.read_state(path).get(STAGE, 0)
    except DataError as error:
        problem = error
    # Before a session is made: the workers make the variables of one together.
    if workers.any_worker(problem is not None):
        return None, problem
    try:
        state = checkpoints.restore(path, session_of(stage))
    except DataError as error:
        problem = error
    return (None, problem) if workers.any_worker(problem is not None) else (state, None)


def _best_instead(
    checkpoints: Checkpoints,
    session_of: Callable[[int], Session],
    workers: WorkerGroup,
    run: Path,
) -> str:
    """How to start from the best state of a run, if that one is intact; else ""."""
    best = checkpoints.states(BEST)[:1]
    for path in best if workers.same(len(best)) else ():
        if state := _restored(checkpoints, path, session_of, workers)[0]:
            return (
                f"the best one, of step {state['step']}, is intact: start a new run from it with "
                f"--from={run}@{BEST} --workdir=NEW, or "
            )
    return ""


def _check_same(states: list[Path], workers: WorkerGroup) -> None:
    """Raises ConfigError if the workers would not all start from the same state."""
    newest = int(states[0].name.split("-")[1]) if states else -1
    same = [workers.same(number) for number in (len(states), newest)]
    if not all(same):
        raise ConfigError(
            f"--workdir: worker {workers.rank} sees {len(states)} saved states, the newest "
            f"of step {newest}, and another worker sees others; all need the same run directory"
        )


def check_same_code(
    before: object, now: Mapping[str, JsonObject], say: Callable[[str], None], strict: bool
) -> None:
    """Warns where the user's own code is no longer what a run was started with; `before` and `now`
    are sources(). Raises ConfigError in place of that where `strict`.
    """
    changed = source_changes(before, now)
    if not changed:
        return
    text = f"your own code has changed since this run was last started: {', '.join(changed)}"
    if strict:
        raise ConfigError(f"--strict: {text}; bring it back, or give another --workdir")
    say(f"warning: {text}; the run continues with it as it is now")


def check_workers_code(
    now: Mapping[str, JsonObject],
    workers: WorkerGroup,
    say: Callable[[str], None],
    *,
    strict: bool,
) -> None:
    """Warns where the workers do not have the same source of the user's own code; raises
    ConfigError in place of that where `strict`. Every worker must come here.
    """
    differing = []
    for key, record in now.items():
        hashed = hashlib.sha256(json_text({**record, "reference": ""}).encode()).digest()
        if not workers.same(int.from_bytes(hashed[:_HASH_BYTES], "big")):
            differing.append(f"{key} (here {str(record['sha256'])[:12]})")
    if not differing:
        return
    text = f"the workers do not have the same source of {', '.join(differing)}"
    if strict:
        raise ConfigError(f"--strict: {text}; put the same files on every machine")
    say(f"warning: {text}: worker {workers.rank} uses its own")


def other_tensorflow(before: str) -> str:
    """A warning if a run was saved under another TensorFlow than this one; else ""."""
    if before == tf.__version__:
        return ""
    return (
        f"warning: saved under TensorFlow {before}, resuming under {tf.__version__}: weights, "
        "optimizer state and the order of records are kept; operations may round differently, so "
        "the last bits of weights differ, and random layers inside the backbone may draw other "
        "numbers"
    )


def other_replicas(before: int, session: Session) -> str:
    """A warning about what differs when a run resumes on another number of replicas."""
    words = [
        f"warning: saved on {before} replicas, resuming on "
        f"{session.strategy.num_replicas_in_sync}: the order of records and the random numbers of "
        "our layers are kept; gradients are summed in another order, so the last bits of weights "
        "differ"
    ]
    layers = list(session.model._flatten_layers())
    if any(isinstance(layer, tf.keras.layers.BatchNormalization) for layer in layers):
        words.append("BatchNorm computes its statistics over batches of another size")
    if generators(session.model, session.config.seed):
        words.append("random layers inside the backbone draw other numbers")
    return "; ".join(words)
