"""The user's own code, tried on a batch of noise before anything is trained with it.

What would fail hours later, at the first validation, or be silently wrong, is found in seconds:
each part is traced, called, and its result looked at. Nothing of the session changes.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config.own_code import blamed, own_code
from trainer.data.order import ReplicaSlice
from trainer.data.reader import Reader
from trainer.data.rows import Tensors
from trainer.models.randomness import keyed
from trainer.tasks.outputs import Outputs
from trainer.tasks.task import Task
from trainer.training.own_callbacks import try_callbacks
from trainer.training.own_network_trial import try_layers, try_network
from trainer.training.own_optimizer_trial import try_optimizer
from trainer.training.session import Session

_NETWORK = ("task", "model.backbone", "model.head")
_OPTIMIZER = ("optimizer.name", "optimizer.schedule")
_OF_TARGETS = ("mean", "std")
_ALONE = 0.02  # difference from a batch of one, relative: rounding of bfloat16 and TF32


def try_own_code(session: Session, reader: Reader) -> list[str]:
    """Tries what a configuration names of the user's own.

    Args:
      session: of the training.
      reader: of its training split.

    Returns:
      The keys that were tried; [] where there is nothing of the user's.

    Raises:
      ConfigError: it fails, or its result cannot be trained with; in one line.
    """
    tried = own_code(session.config)
    if not tried:
        return []
    batch = noise_batch(session, reader)
    try_layers(session, batch)
    if "task" in tried:
        with blamed("task", tried["task"]):
            outputs = _outputs(session, batch)
            _try_task(session, reader, batch, outputs)
    outputs = _outputs(session, batch)
    for key in tried:
        if key.startswith("loss."):
            _try_loss(session, batch, outputs, key, tried[key])
    if any(key.startswith("metrics.") for key in tried):
        _try_measures(session, batch, outputs)
    if network := {key: tried[key] for key in _NETWORK if key in tried}:
        try_network(session, batch, network)
        alone = _outputs(session, _first_record(batch))
        _check_alone(" and ".join(network), ", ".join(network.values()), outputs, alone)
    if optimizer := {key: tried[key] for key in _OPTIMIZER if key in tried}:
        per_epoch = session.config.steps_per_epoch or reader.steps_per_pass
        try_optimizer(session, session.stage.epochs * per_epoch, optimizer)
    if any(key.startswith("callbacks.") for key in tried):
        try_callbacks(session.config.callbacks)
    return list(tried)


def noise_batch(session: Session, reader: Reader) -> Tensors:
    """A batch of one replica as the reader makes them: pictures of noise, targets of every kind."""
    replicas = session.strategy.num_replicas_in_sync
    specs = reader.dataset(0, ReplicaSlice(0, 1, replicas), 1).element_spec
    rng = np.random.default_rng(0)
    rows = int(specs["row"].shape[0])
    batch: dict[str, np.ndarray] = {}
    for name, spec in specs.items():
        shape = [side or session.config.image_size for side in spec.shape]
        batch[name] = np.ones(shape)
        if name == "image":
            batch[name] = rng.integers(0, 256, shape)
        elif name in ("row", "record"):
            batch[name] = np.arange(rows)
        elif name == "share":
            batch[name] = np.full(shape, 1 / (rows * replicas))
        elif name == "label":
            batch[name] = np.arange(rows) % len(session.task.classes)
        elif name == "labels":
            batch[name] = np.add.outer(np.arange(rows), np.arange(shape[-1])) % 2
        elif name == "votes":
            batch[name] = np.eye(3)[np.arange(rows) % 3] * 0.7 + 0.1
        elif name == "numbers":
            means, stds = ([getattr(t, key) for t in session.task.targets] for key in _OF_TARGETS)
            batch[name] = rng.normal(means, stds, shape)
    return {name: tf.constant(batch[name], spec.dtype) for name, spec in specs.items()}


def _outputs(session: Session, batch: Tensors) -> tf.Tensor:
    """float32 outputs of the model as it is measured."""
    config, task = session.config, session.task
    with keyed(config.seed, 0, batch["row"], config.batch_size):
        outputs = task.outputs(
            session.model, session.augmentation, batch["image"], training=False, augment=False
        )
    return tf.cast(outputs, tf.float32)


def _try_loss(
    session: Session, batch: Tensors, outputs: tf.Tensor, key: str, reference: str
) -> None:
    @tf.function
    def of_outputs(given: tf.Tensor, records: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(given)
            losses = session.task.loss(given, records)
        gradient = tape.gradient(losses, given) if tf.is_tensor(losses) else None
        return losses, gradient

    with blamed(key, reference, "(values, targets)"):
        losses, gradient = of_outputs(outputs, batch)
        again, _ = of_outputs(outputs, batch)
        alone, _ = of_outputs(outputs[:1], _first_record(batch))
    rows = int(batch["row"].shape[0])
    check_tensor(key, reference, losses, (rows,), "one value a record, not their mean")
    if gradient is None:
        raise ConfigError(
            f"{key}={reference}: no gradient reaches the model's outputs; compute it with "
            "TensorFlow, without rounding, comparing or .numpy()"
        )
    check_finite(key, reference, gradient, "its gradient")
    _check_same(key, reference, losses, again)
    _check_alone(key, reference, losses, alone)


def _try_task(session: Session, reader: Reader, batch: Tensors, outputs: tf.Tensor) -> None:
    task, key, reference = session.task, "task", session.config.task
    rows = int(batch["row"].shape[0])
    for name, found in zip(("right", "counted"), task.hits(outputs, batch), strict=True):
        if not isinstance(found, tf.Tensor) or found.shape != (rows,):
            raise ConfigError(
                f"{key}={reference}: hits() returns {_described(found)} for {name}; it must "
                f"return two tensors of [{rows}]: one value a record"
            )
    values = task.values(outputs.numpy().astype(np.float64))
    measured = Outputs(values, _truth(task, batch), np.arange(rows))
    _check_rows(reference, "wrong", task.wrong(measured), rows)
    _check_rows(reference, "losses", task.losses(measured), rows)
    figures = task.figures(measured)
    if missing := {"loss", "counted", task.metric, "interval"} - set(figures):
        raise ConfigError(
            f"{key}={reference}: figures() lacks {', '.join(sorted(missing))}; it must return "
            f"loss, counted, {task.metric} and interval"
        )
    task.baseline(measured)
    task.detail_lines(task.details(measured, reader))
    written = {
        "prediction": (task.prediction_columns(), task.prediction_cells(values[0])),
        "truth": (task.truth_columns(), task.truth_cells(measured.targets[0])),
    }
    for name, (columns, cells) in written.items():
        if len(columns) != len(cells):
            raise ConfigError(
                f"{key}={reference}: {name}_columns() names {len(columns)} columns, "
                f"{name}_cells() returns {len(cells)}"
            )


def _check_rows(reference: str, name: str, found: object, rows: int) -> None:
    if getattr(found, "shape", None) != (rows,):
        raise ConfigError(
            f"task={reference}: {name}() returns {_described(found)}; it must return [{rows}]: "
            "one value a record"
        )


def _described(found: object) -> str:
    shape = getattr(found, "shape", None)
    return type(found).__name__ if shape is None else f"{list(shape)}"


def _try_measures(session: Session, batch: Tensors, outputs: tf.Tensor) -> None:
    task = session.task
    values = task.values(outputs.numpy().astype(np.float64))
    records = np.arange(len(values))
    task.measured(Outputs(values, _truth(task, batch), records))


def _truth(task: Task, batch: Tensors) -> np.ndarray:
    return task.truth({name: batch[name].numpy() for name in task.target_names})


def check_tensor(
    key: str, reference: str, found: object, shape: tuple[int | None, ...], meaning: str
) -> None:
    """Raises ConfigError unless it is a finite float32 tensor of this shape; None = any side."""
    wanted = f"float32{_sides(shape)}, {meaning}"
    if not isinstance(found, tf.Tensor):
        raise ConfigError(
            f"{key}={reference} returns a {type(found).__name__}; it must return {wanted}"
        )
    if found.dtype != tf.float32 or not found.shape.is_compatible_with(shape):
        given = f"{found.dtype.name}{_sides(tuple(found.shape))}"
        raise ConfigError(f"{key}={reference} returns {given}; it must return {wanted}")
    check_finite(key, reference, found, "its result")


def check_finite(key: str, reference: str, found: tf.Tensor, what: str) -> None:
    """Raises ConfigError unless all numbers are finite."""
    count = int(tf.reduce_sum(tf.cast(~tf.math.is_finite(found), tf.int64)))
    if count:
        raise ConfigError(
            f"{key}={reference}: {what} is NaN or infinite in {count} of {tf.size(found)} numbers "
            "of a batch of noise; look at logarithms, divisions and roots of 0"
        )


def _check_same(key: str, reference: str, first: tf.Tensor, second: tf.Tensor) -> None:
    if not np.array_equal(first.numpy(), second.numpy()):
        raise ConfigError(
            f"{key}={reference} returns another result when called again: it draws random numbers "
            "that a restart could not repeat"
        )


def _first_record(batch: Tensors) -> Tensors:
    return {name: values[:1] for name, values in batch.items()}


def _check_alone(key: str, reference: str, together: tf.Tensor, alone: tf.Tensor) -> None:
    """Raises ConfigError unless a record has the same result in a batch of its own."""
    most = _ALONE * (1 + float(tf.reduce_max(tf.abs(together[:1]))))
    if not np.allclose(together[:1].numpy(), alone.numpy(), rtol=0, atol=most):
        raise ConfigError(
            f"{key}={reference} depends on the other records of the batch: another batch size or "
            "number of replicas would give other results; compute each record by itself"
        )


def _sides(shape: tuple[int | None, ...]) -> str:
    return f"[{','.join('?' if side is None else str(side) for side in shape)}]"
