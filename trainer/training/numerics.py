"""`debug.check_numerics`: what was first not finite, in the order in which a step computes it.

The values before each step are kept. Where it gives NaN or an infinity they are put back, and the
step is computed once more, layer by layer, with the same records and random numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from trainer.config.keys import Config
from trainer.data.rows import Tensors
from trainer.models.generators import generators
from trainer.optimizers.averages import put
from trainer.training.session import Session, finite_function, optimizer_variables
from trainer.training.step_functions import keyed_by_step

SHOWN = 8  # records, and weights, that are named
LARGE_WEIGHT = 1e3  # no network that learns has one; a step too long makes them
LARGE_GRADIENT = 1e3  # norm; clipping is set to 1 or so where it is used
HALF_MOST = 65_504.0  # the largest float16


@dataclasses.dataclass(frozen=True)
class LayerSeen:
    """One layer's part of a step: its largest absolute values, NaN where one is not finite."""

    name: str
    kind: str
    inputs: float
    outputs: float
    weights: float
    half: bool  # whether it gives float16


@dataclasses.dataclass(frozen=True)
class StepSeen:
    """What a step computed on one replica, or on several together."""

    layers: tuple[LayerSeen, ...]
    records: tuple[int, ...]  # whose loss is not finite
    outputs: float  # the largest absolute value of the model's
    gradients: tuple[tuple[str, float], ...]  # by weight, the norm; NaN = not finite


class NumericsCheck:
    """Looks at each step of a session, whose optimizer is there by now."""

    def __init__(self, session: Session, before: int = 0) -> None:
        """`before`: steps of earlier stages, which the optimizer does not count."""
        self._session, self._before = session, before
        self._inside = generators(session.model, session.config.seed)
        self._finite = finite_function(session)
        self._kept: list[np.ndarray] = []

    def keep(self) -> None:
        """Remembers all values; call it before a step."""
        self._kept = [variable.numpy() for variable in self._variables()]

    def problem(self, batch: Tensors, sums: tf.Tensor, step: int) -> str:
        """What of a step was not finite, in lines; "" if all was.

        Args:
          batch: the step's, distributed.
          sums: what it returned.
          step: its number, from 1.
        """
        if np.isfinite(np.asarray(sums)).all() and bool(self._finite()):
            return ""
        put(self._variables(), self._kept)
        parts = self._session.strategy.run(self._look, args=(batch,))
        local = self._session.strategy.experimental_local_results(parts)
        seen = _joined(local)
        if clean(seen) and len(local) < self._session.strategy.num_replicas_in_sync:
            return (
                f"step {step}: not finite, but all that this worker computed was; the log of "
                "another worker says what was not (RUN/logs), or it was the update itself"
            )
        return in_words(seen, step, self._session.config)

    def _variables(self) -> list[tf.Variable]:
        model, accumulation = self._session.model, self._session.accumulation
        found = [*model.weights, *optimizer_variables(model.optimizer)]
        found += list(accumulation.variables) if accumulation else []
        return list({id(variable): variable for variable in found}.values())

    def _look(self, batch: Tensors) -> StepSeen:
        """On each replica."""
        session, layers = self._session, list[LayerSeen]()
        model, augmentation = session.model, session.augmentation
        mixture = session.mixture(batch["weight"])
        judge, mix = (mixture, mixture.pictures) if mixture else (session.task, None)
        with (
            _watched([*augmentation._flatten_layers(), *model._flatten_layers()], layers.append),
            keyed_by_step(session, self._inside, batch["row"], self._before),
            tf.GradientTape() as tape,
        ):
            outputs = session.task.outputs(
                model, augmentation, batch["image"], training=True, augment=True, mix=mix
            )
            losses = judge.loss(outputs, batch)
            factors = judge.factors(batch)
            weight = batch["weight"] if factors is None else batch["weight"] * factors
            mean = tf.math.divide_no_nan(tf.reduce_sum(losses * weight), tf.reduce_sum(weight))
        gradients = tape.gradient(mean, model.trainable_variables)
        wrong = ~np.isfinite(losses.numpy()) & (batch["weight"].numpy() > 0)
        return StepSeen(
            tuple(layers),
            tuple(int(record) for record in batch["record"].numpy()[wrong]),
            largest(outputs),
            tuple(
                (variable.name, float(tf.norm(tf.cast(gradient, tf.float64))))
                for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
                if gradient is not None
            ),
        )


@contextlib.contextmanager
def _watched(
    layers: Sequence[tf.keras.layers.Layer], saw: Callable[[LayerSeen], None]
) -> Iterator[None]:
    """Inside this context each layer's call is told of when it is done, the inner ones first."""
    before = [(layer, layer.call) for layer in layers if not _is_input(layer)]
    for layer, call in before:
        layer.call = _telling(layer, call, saw)
    try:
        yield
    finally:
        for layer, call in before:
            layer.call = call


def _telling(
    layer: tf.keras.layers.Layer,
    call: Callable[..., object],
    saw: Callable[[LayerSeen], None],
) -> Callable[..., object]:
    def told(*args: object, **kwargs: object) -> object:
        outputs = call(*args, **kwargs)
        tensors = [each for each in tf.nest.flatten(outputs) if tf.is_tensor(each)]
        half = any(each.dtype == tf.float16 for each in tensors)
        most = (largest(args), largest(outputs), largest(layer.weights))
        saw(LayerSeen(layer.name, type(layer).__name__, *most, half))
        return outputs

    return told


def _is_input(layer: tf.keras.layers.Layer) -> bool:
    return isinstance(layer, tf.keras.layers.InputLayer)


def largest(values: object) -> float:
    """The largest absolute value of all floating tensors in a structure, NaN if one is not finite;
    0 if there are none.
    """
    most = 0.0
    for each in tf.nest.flatten(values):
        floating = getattr(getattr(each, "dtype", None), "is_floating", False)
        if floating and int(tf.size(each)):
            found = float(tf.reduce_max(tf.abs(tf.cast(tf.convert_to_tensor(each), tf.float64))))
            if not math.isfinite(found):
                return math.nan
            most = max(most, found)
    return most


def _joined(parts: Sequence[StepSeen]) -> StepSeen:
    """Those of several replicas: the layers of the first that has one which is not finite."""
    worst = sorted(parts, key=lambda part: (not _first_layer(part), not part.records))
    first = worst[0]
    records = tuple(record for part in parts for record in part.records)
    gradients = next((p for p in parts if any(_lost(norm) for _, norm in p.gradients)), first)
    return StepSeen(first.layers, records, first.outputs, gradients.gradients)


def clean(seen: StepSeen) -> bool:
    """Whether all of it was finite."""
    lost = any(_lost(norm) for _, norm in seen.gradients)
    return not (_first_layer(seen) or seen.records or lost)


def _lost(number: float) -> bool:
    return not math.isfinite(number)


def _first_layer(seen: StepSeen) -> LayerSeen | None:
    return next((layer for layer in seen.layers if _lost(layer.outputs)), None)


def in_words(seen: StepSeen, step: int, config: Config) -> str:
    """What was first not finite, and the usual causes, marked where they apply; in lines."""
    layer = _first_layer(seen)
    wrong = [name for name, norm in seen.gradients if _lost(norm)]
    if layer:
        first = (
            f"the layer {layer.name} ({layer.kind}): its input is up to {layer.inputs:.3g}, its "
            f"weights up to {layer.weights:.3g}"
        )
    elif seen.records:
        first = f"the loss, from outputs of the model of up to {seen.outputs:.3g}"
    elif wrong:
        first = f"the gradient of {_named(wrong)}; the loss was finite"
    else:
        first = "a weight or a slot of the optimizer, after the update; the gradient was finite"
    lines = [f"step {step}: first not finite was {first}"]
    if seen.records:
        lines.append(
            f"records of the training split whose loss is not finite: {_named(seen.records)}"
        )
    lines.append("usual causes, marked where they apply:")
    lines += [f"  [{'x' if applies else ' '}] {text}" for applies, text in _causes(seen, config)]
    return "\n".join(lines)


def _named(items: Sequence[object]) -> str:
    shown = ", ".join(str(item) for item in items[:SHOWN])
    more = len(items) - SHOWN
    return shown + (f" and {more} more" if more > 0 else "")


def _causes(seen: StepSeen, config: Config) -> Iterator[tuple[bool, str]]:
    layer = _first_layer(seen)
    optimizer = config.optimizer
    norms = [norm for _, norm in seen.gradients]
    norm = math.sqrt(sum(each**2 for each in norms)) if norms else 0.0
    weights = max((each.weights for each in seen.layers), default=0.0)
    after_update = not (layer or seen.records or _lost(norm))
    yield (
        weights > LARGE_WEIGHT or after_update,
        f"steps too long: weights are up to {weights:.3g}; lower optimizer.learning_rate"
        + (" and those of stages" if config.stages else ""),
    )
    clips = optimizer.clip_global_norm or optimizer.clip_norm or optimizer.clip_value
    yield (
        not clips and norm > LARGE_GRADIENT,
        f"a gradient that is not clipped: its norm is {norm:.3g}; set optimizer.clip_global_norm",
    )
    yield (
        bool(layer and layer.half),
        f"float16, which ends at {HALF_MOST:,.0f}: set precision=mixed_bfloat16 or float32",
    )
    yield (
        not layer and bool(seen.records),
        "a loss with a logarithm, root or division of 0, or a target far outside of the others",
    )
    yield (
        bool(layer and layer.weights == 0 and not layer.half),
        "a layer without weights, perhaps of your own, that divides or takes a root or logarithm",
    )
