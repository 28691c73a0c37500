r"""A class per folder (beans: 3 classes, 1,034 pictures): EfficientNetB0, 20 epochs at 128x128.

Global max pooling, dropout 0.5, Adam, 33 steps of 32 pictures a pass. The heavy augmentation
was done ahead of time, at 384x384 (recipe `photos`). On the device, in training only: resize
to 300, random 200x200 crop, mirror image, cutout of 100x100, turn of up to a tenth of a full
one. What is left of a picture is then brought to the 128x128 in front of the backbone. A crop of
200 out of 300 shows a plant 1.5 times larger than the whole picture evaluated does;
`--config.augment.resize_to=200` trains at the size that is evaluated.

Time and accuracy: not measured here.

    python -m preprocess build --source=folders --images=beans --output=DATASET \
        --image_size=384 --recipe=photos --variants=10
    python -m trainer train --config=image_folder --data=DATASET --workdir=RUN

ImageNet weights need a network once. Without it: `--config.model.weights=FILE`, or
`--config.model.weights=''` for random ones, which 1,034 pictures can hardly train.
"""

import ml_collections

from trainer.config import defaults


def get_config() -> ml_collections.ConfigDict:
    config = defaults()
    config.task = "classification"
    config.epochs = 20
    config.steps_per_epoch = 0
    config.validation_steps = 0
    config.batch_size = 32
    config.image_size = 128

    config.model.backbone = "keras:EfficientNetB0"
    config.model.weights = "imagenet"
    config.model.pooling = "max"
    config.model.dropout = 0.5

    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3

    config.augment.enabled = True
    config.augment.resize_to = 300
    config.augment.crop = 200
    config.augment.flip = True
    config.augment.cutout = 100
    config.augment.rotation = 0.1  # of a full turn

    config.data.variants = 0
    config.data.validation_splits = ("validation",)
    return config
