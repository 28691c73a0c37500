"""FEC triplets: which of three faces wears the odd expression out; EfficientNetV2-B0 from TF-Hub.

25 epochs of 200 steps of 64 triplets: 320,000 triplets, less than one pass over the 376,128
that the published table lists. Pictures as they came (variant 0) and no augmentation: with
so little training it only hurts. Then the whole test split, 506 steps.

Time and accuracy: not measured here. For comparison, the paper behind the data set reports
81.8 % triplet accuracy for its own, longer trained network (CVPR 2019, arXiv 1811.11283);
chance is 1/3.

    python -m trainer train --config=fec_triplet --data=DATASET --workdir=RUN
    python -m trainer evaluate --workdir=RUN --data=DATASET --split=test

Without a network the hub handle cannot be fetched. Then name a local SavedModel,
`--config.model.backbone=hub:PATH`, or start from random weights with
`--config.model.backbone=keras:EfficientNetV2B0`, which needs far more steps.

Embedding size, scale and delta depend on each other: the starting points of a search are
scale in {1/4, 1/2, 1, 2, 4, 8} with 16 numbers, then 8, 16, 32, 128 or 1024 numbers.
"""

import ml_collections

from trainer.config import defaults


def get_config() -> ml_collections.ConfigDict:
    config = defaults()
    config.task = "triplet"
    config.epochs = 25
    config.steps_per_epoch = 200
    config.validation_steps = 200
    config.batch_size = 64
    config.image_size = 160  # 112x112 crops, stretched

    config.model.backbone = (
        "hub:gs://cloud-tpu-checkpoints/efficientnet/v2/hub/efficientnetv2-b0-21k/feature-vector"
    )
    config.model.dropout = 0.4
    config.model.embedding_size = 128
    config.model.scale = 1.0
    config.model.trainable = "all"
    config.loss.delta = 0.5

    config.optimizer.name = "adabound"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.final_learning_rate = 0.1

    config.augment.enabled = False
    config.data.variants = 1
    config.data.validation_splits = ("test",)
    return config
