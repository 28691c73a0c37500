"""The parts of a training step as functions that can be called alone, on a resident batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

import tensorflow as tf

from trainer.data.rows import Tensors
from trainer.models.build_augmentation import Augmentation
from trainer.models.randomness import keyed
from trainer.training.session import Session

Part: TypeAlias = "Callable[[Tensors], tf.Tensor]"


class DeviceParts:
    """Functions (batch per replica) -> a number to wait for. Weights and optimizer do not change,
    but for the statistics of batches, which each replica has of its own.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._strategy = session.strategy
        self.nothing = self._everywhere(lambda batch: tf.reduce_sum(batch["weight"]))
        self.preprocess = self._everywhere(self._preprocess)
        self._one = tf.function(self._one_replica)

    def layers(self) -> dict[str, Part]:
        """The on-device layers up to and including each, by its name; first none of them, as ''."""
        layers = list(self._session.augmentation.layers)
        own = list(getattr(self._session.augmentation, "own", ()))
        first = {"": Augmentation([])}
        first |= {layer.name: Augmentation(layers[: n + 1]) for n, layer in enumerate(layers)}
        first |= {each.layer.name: Augmentation(layers, own[: n + 1]) for n, each in enumerate(own)}
        return {
            name: self._everywhere(functools.partial(self._layers_only, augmentation))
            for name, augmentation in first.items()
        }

    def all_reduce(self) -> Part:
        """Sums what the gradients would be over the replicas."""
        shapes = [weight.shape for weight in self._session.model.trainable_variables]

        def summed(batch: Tensors) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # Not constants, which would be folded away.
            one = batch["weight"][0]
            tensors = [tf.fill(shape, one) for shape in shapes]
            sums = context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
            return tf.add_n([tf.reshape(tensor, [-1])[0] for tensor in sums])

        return self._everywhere(summed)

    def one_replica(self, replica: int) -> Part:
        """Forward and backward pass of one replica, counted over all workers, on its share.

        The other replicas of this process rest.
        """
        number = tf.constant(replica)
        return lambda batch: self._one(batch, number)

    def _everywhere(self, function: Part) -> Part:
        @tf.function
        def run(batch: Tensors) -> tf.Tensor:
            return self._strategy.run(function, args=(batch,))

        return run

    def _preprocess(self, batch: Tensors) -> tf.Tensor:
        return tf.reduce_sum(self._pixels(batch))

    def _layers_only(self, augmentation: Augmentation, batch: Tensors) -> tf.Tensor:
        session = self._session
        images = tf.reshape(batch["image"], tf.concat([[-1], tf.shape(batch["image"])[-3:]], 0))
        with keyed(session.config.seed, 0, batch["row"], session.config.batch_size):
            return tf.reduce_sum(augmentation(images, training=True))

    def _pixels(self, batch: Tensors) -> tf.Tensor:
        session = self._session
        images = tf.reshape(batch["image"], tf.concat([[-1], tf.shape(batch["image"])[-3:]], 0))
        with keyed(session.config.seed, 0, batch["row"], session.config.batch_size):
            mixture = session.mixture(batch["weight"])
            mix = mixture.pictures if mixture else None
            return session.task.pixels(session.augmentation, images, augment=True, mix=mix)

    def _one_replica(self, batch: Tensors, number: tf.Tensor) -> tf.Tensor:
        def on_replica(batch: Tensors) -> tf.Tensor:
            mine = tf.distribute.get_replica_context().replica_id_in_sync_group
            return tf.cond(tf.equal(mine, number), lambda: self._passes(batch), lambda: 0.0)

        return self._strategy.run(on_replica, args=(batch,))

    def _passes(self, batch: Tensors) -> tf.Tensor:
        session, model = self._session, self._session.model
        with keyed(session.config.seed, 0, batch["row"], session.config.batch_size):
            with tf.GradientTape() as tape:
                outputs = session.task.outputs(
                    model, session.augmentation, batch["image"], training=True, augment=True
                )
                loss = tf.reduce_sum(session.task.loss(outputs, batch) * batch["share"])
            gradients = tape.gradient(loss, model.trainable_variables)
        return loss + tf.add_n([tf.reshape(gradient, [-1])[0] for gradient in gradients])


def resized(strategy: tf.distribute.Strategy, batch: Tensors, rows: int, wanted: int) -> Tensors:
    """A batch of `wanted` rows a replica, up to twice as many as the `rows` it has."""

    def of(part: Tensors) -> Tensors:
        if wanted > rows:
            part = tf.nest.map_structure(lambda value: tf.concat([value, value], 0), part)
        return tf.nest.map_structure(lambda value: value[:wanted], part)

    return tf.function(lambda whole: strategy.run(of, args=(whole,)))(batch)


def wait(strategy: tf.distribute.Strategy, result: tf.Tensor) -> None:
    """Returns when a result is there on all replicas of this process."""
    for part in tf.nest.flatten(strategy.experimental_local_results(result)):
        part.numpy()
