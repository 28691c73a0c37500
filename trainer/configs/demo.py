"""The demo: synthetic faces, small network from scratch, two replicas on the CPU, a few minutes.

Triplets of synthetic faces (`preprocess synth`), 112x112, seen at 64x64 by the small
convolutional backbone; 16 numbers a face. Several stored variants and a light touch on the
device. Time and accuracy: 3 minutes of training on two busy cores; test triplet accuracy 0.80
[0.78, 0.82], where the generator's own expression numbers reach 0.93 (`make demo` prints both).

    make demo
    python -m trainer train --config=demo --data=DATASET --workdir=RUN
"""

import ml_collections

from trainer.config import defaults


def get_config() -> ml_collections.ConfigDict:
    config = defaults()
    config.task = "triplet"
    config.epochs = 6
    config.steps_per_epoch = 0
    config.validation_steps = 0
    config.batch_size = 32
    config.image_size = 64
    config.virtual_replicas = 2

    config.model.backbone = "cnn"
    config.model.dropout = 0.0
    config.model.embedding_size = 16
    config.model.scale = 1.0
    config.loss.delta = 0.5

    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 5e-4

    config.augment.enabled = True
    config.augment.resize_to = 72
    config.augment.crop = 64
    config.augment.flip = True
    config.augment.brightness = 0.1
    config.augment.contrast = 0.1

    config.data.variants = 0
    config.data.validation_splits = ("test",)
    config.checkpoint.best_metric = "val_triplet_accuracy"
    return config
