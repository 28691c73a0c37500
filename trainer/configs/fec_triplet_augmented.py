"""FEC triplets, trained long on the stored variants plus light augmentation on the device.

For a dataset built with variants (`preprocess build --variants=10`): 20 passes of 5,877
steps, each pass reading every picture once, in the next of its variants. On the device come a
small shift (176 px, cropped to 160), a mirror image, a small turn and a little light.

Time and accuracy: not measured here. Worth it only for long training: over the 5,000 steps
of `fec_triplet` augmentation hurts.

    python -m trainer train --config=fec_triplet_augmented --data=DATASET --workdir=RUN
"""

import ml_collections

from trainer.config import defaults


def get_config() -> ml_collections.ConfigDict:
    config = defaults()
    config.task = "triplet"
    config.epochs = 20
    config.steps_per_epoch = 0  # an epoch is a pass
    config.validation_steps = 0
    config.batch_size = 64
    config.image_size = 160

    config.model.dropout = 0.4
    config.model.embedding_size = 128
    config.model.scale = 1.0
    config.loss.delta = 0.5

    config.optimizer.name = "adabound"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.final_learning_rate = 0.1

    # Gentle: a turn or a cutout that hides a mouth changes the expression that is labelled.
    config.augment.enabled = True
    config.augment.resize_to = 176
    config.augment.crop = 160
    config.augment.flip = True
    config.augment.rotation = 0.02  # 7 degrees
    config.augment.brightness = 0.1
    config.augment.contrast = 0.1

    config.data.variants = 0
    config.data.validation_splits = ("test",)
    config.checkpoint.best_metric = "val_triplet_accuracy"
    return config
