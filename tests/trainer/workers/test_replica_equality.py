"""One replica and two: the same loss and gradients on the same global batch, random layers in."""

import numpy as np
import tensorflow as tf

from trainer.config import Config, with_values
from trainer.losses import triplet_loss
from trainer.models import build_model, randomness
from trainer.models.build_augmentation import build_augmentation
from trainer.tasks.task import make_task

TRIPLETS, SIDE = 6, 16
RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (TRIPLETS, 3, 20, 20, 3)).astype("uint8")
VOTES = RNG.dirichlet(np.ones(3), TRIPLETS).astype("float32")
# The last triplet is padding.
WEIGHTS = np.array([1, 1, 1, 1, 1, 0], "float32")


def build():
    tf.keras.utils.set_random_seed(0)
    values = {
        "task": "triplet",
        "image_size": SIDE,
        "model.backbone": "cnn",
        "model.embedding_size": 8,
        "augment.enabled": True,
        "augment.crop": SIDE,
        "augment.flip": True,
        "augment.rotation": 0.1,
        "augment.cutout": 4,
        "augment.brightness": 0.2,
        "augment.contrast": 0.2,
    }
    config = with_values(Config(), values)
    return build_augmentation(config.augment), build_model(config, make_task(config).head)


def loss_and_gradients(augment, model, rows):
    """Sum over the rows, divided by the weight of the whole batch: replicas' parts add up."""
    with randomness.keyed(3, tf.constant(5, tf.int64), rows, TRIPLETS), tf.GradientTape() as tape:
        pictures = tf.reshape(tf.gather(PICTURES, rows), [-1, *PICTURES.shape[2:]])
        embeddings = model(augment(pictures, training=True), training=True)
        losses = triplet_loss(
            tf.reshape(embeddings, [-1, 3, embeddings.shape[-1]]), tf.gather(VOTES, rows), 0.5
        )
        loss = tf.reduce_sum(losses * tf.gather(WEIGHTS, rows)) / WEIGHTS.sum()
    return [loss, *tape.gradient(loss, model.trainable_weights)]


def test_two_replicas_give_the_loss_and_gradients_of_one(replicas):
    """Rows 0-3 on one, 4-5 on the other: uneven, with the padding on the second.

    In float32, of one step: a weight of the first convolution is a sum over 18 pictures of 16x16,
    4,608 terms, which is off by 4,608 * 6e-8 = 2.8e-4 of their magnitudes at most. A triplet that
    is left out is a fifth.
    """
    augment, model = build()
    expected = loss_and_gradients(augment, model, tf.range(TRIPLETS))
    with replicas.scope():
        augment, model = build()
    shares = [tf.range(4), tf.range(4, 6)]
    rows = replicas.experimental_distribute_values_from_function(
        lambda context: shares[context.replica_id_in_sync_group]
    )

    @tf.function
    def both(rows):
        return replicas.run(loss_and_gradients, (augment, model, rows))

    for part, whole in zip(both(rows), expected, strict=True):
        summed = replicas.reduce("SUM", part, axis=None)
        scale = np.abs(whole).max()
        np.testing.assert_allclose(summed, whole, rtol=0, atol=3e-4 * scale)
        assert scale > 0
