"""Model, optimizer and layers of one configuration, built under one strategy."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from preprocess.dataset_format import Manifest, Target
from trainer.compat.autograph import call_own_as_written
from trainer.config.keys import Config
from trainer.config.learning_sections import OptimizerConfig
from trainer.config.own_code import blamed, is_own
from trainer.config.task_table import check_same_task
from trainer.config.training_stages import Stage, stages_of
from trainer.models import build_model
from trainer.models.build_augmentation import build_augmentation
from trainer.models.build_mixing import Mixer, Mixture, build_mixers
from trainer.models.own_parts import own_head
from trainer.models.saved_graph import graphs_of
from trainer.optimizers import build_optimizer
from trainer.optimizers.accumulation import Accumulation
from trainer.optimizers.averages import Averages
from trainer.optimizers.gradient_norms import GradientNorms
from trainer.optimizers.weight_decay import leave_out
from trainer.tasks.task import Task, make_task

call_own_as_written()


@dataclasses.dataclass(frozen=True)
class Session:
    """What a training step needs."""

    config: Config
    strategy: tf.distribute.Strategy
    task: Task
    model: tf.keras.Model
    augmentation: tf.keras.layers.Layer
    mixers: Sequence[Mixer] = ()
    number: int = 0  # of the stage

    def mixture(self, weight: tf.Tensor) -> Mixture | None:
        """What mixes a replica's rows of a step, of `weight` float32[b], if anything does."""
        return Mixture(self.mixers, self.task, weight) if self.mixers else None

    @property
    def stage(self) -> Stage:
        """What of the run the model trains in; all of it, unless the configuration has stages."""
        return stages_of(self.config)[self.number]

    @property
    def optimizer_config(self) -> OptimizerConfig:
        """The section `optimizer` of the stage."""
        return self.stage.applied(self.config).optimizer

    @functools.cached_property
    def graphs(self) -> dict[str, str]:
        """The fingerprints of the model and its backbone, which are saved with its states."""
        return graphs_of(self.model)

    @functools.cached_property
    def averages(self) -> Averages:
        """The averages of the weights, if the optimizer keeps any."""
        return Averages(self.model)

    @functools.cached_property
    def accumulation(self) -> Accumulation | None:
        """The gradients summed up for the next update, if several steps make one."""
        steps = self.config.optimizer.accumulate_steps
        if steps == 1:
            return None
        with self.strategy.scope():
            return Accumulation(self.model.trainable_variables, steps)

    @functools.cached_property
    def gradient_norms(self) -> GradientNorms | None:
        """The norms of the newest gradients, if they are asked for."""
        if not self.config.tensorboard.gradients:
            return None
        with self.strategy.scope():
            return GradientNorms(self.model.trainable_variables)

    def weights_digest(self) -> str:
        """sha256 over all weights, moving statistics included, in layer order."""
        found = hashlib.sha256()
        for weight in self.model.weights:
            found.update(np.ascontiguousarray(weight.numpy()).tobytes())
        return found.hexdigest()


def build_session(
    config: Config,
    strategy: tf.distribute.Strategy,
    dataset_task: str,
    classes: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
    *,
    weights: bool = True,
    targets: Sequence[Target] = (),
) -> Session:
    """Builds the model; raises ConfigError if task and dataset do not match.

    `classes` and `targets` are the dataset's; for `say` and `weights` see build_model().
    """
    check_same_task(config.task, dataset_task)
    task = make_task(config, classes, targets)
    with strategy.scope():
        augmentation, mixers = build_augmentation(config.augment), build_mixers(config.augment)
        model = _model(stages_of(config)[0].applied(config), task, say, weights=weights)
    return Session(config, strategy, task, model, augmentation, mixers)


def _model(
    config: Config, task: Task, say: Callable[[str], None] = lambda _: None, *, weights: bool
) -> tf.keras.Model:
    """With the task's head or the user's own."""
    head: Callable[[tf.Tensor], tf.Tensor] = task.head
    if config.model.head:
        settings = config.model.head_args
        head = own_head(config.model.head, task.outputs_a_picture, settings)
    own = is_own("task", config.task) and not config.model.head
    with blamed("task", config.task) if own else contextlib.nullcontext():
        return build_model(config, head, say, weights=weights)


def session_for(
    config: Config,
    strategy: tf.distribute.Strategy,
    manifest: Manifest,
    say: Callable[[str], None],
    *,
    weights: bool,
) -> Session:
    """build_session() for a dataset."""
    return build_session(
        config,
        strategy,
        manifest.task,
        manifest.classes,
        say,
        weights=weights,
        targets=manifest.targets,
    )


def in_stage(session: Session, number: int) -> Session:
    """The same in another stage: with a model of its own, without weights and optimizer."""
    # Names that Keras numbers count from the beginning, as in a process that resumes there.
    tf.keras.backend.reset_uids()
    config = stages_of(session.config)[number].applied(session.config)
    with session.strategy.scope():
        model = _model(config, session.task, weights=False)
    return dataclasses.replace(session, model=model, number=number)


def add_optimizer(session: Session, total_steps: int) -> tf.keras.optimizers.Optimizer:
    """The optimizer, with its slots created, so that a checkpoint includes them."""
    section = session.optimizer_config
    with session.strategy.scope():
        session.model.compile(optimizer=build_optimizer(section, total_steps), jit_compile=False)
        optimizer = session.model.optimizer
        leave_out(optimizer, section, session.model.trainable_variables)
        if hasattr(optimizer, "build"):
            optimizer.build(session.model.trainable_variables)
        else:  # tensorflow-addons' optimizers are legacy ones
            optimizer._create_all_weights(session.model.trainable_variables)
    return optimizer


def optimizer_variables(optimizer: tf.keras.optimizers.Optimizer) -> list[tf.Variable]:
    """Every slot and counter: an attribute of Keras's optimizers, a method of legacy ones."""
    found = optimizer.variables
    return list(found() if callable(found) else found)


def finite_function(session: Session) -> Callable[[], tf.Tensor]:
    """A tf.function that returns whether all weights and optimizer slots are finite."""

    @tf.function
    def all_finite() -> tf.Tensor:
        variables = [*session.model.weights, *optimizer_variables(session.model.optimizer)]
        finite = [tf.reduce_all(tf.math.is_finite(v)) for v in variables if v.dtype.is_floating]
        return tf.reduce_all(tf.stack(finite))

    return all_finite
