r"""Beans, the first experiment: EfficientNetB0 at 128x128 on the pictures as they are, 20 epochs.

Global max pooling, dropout 0.5, Adam, 33 steps of 32 pictures a pass; the best state is that of the
highest accuracy on the validation split. Nothing is augmented: `beans_384` and `beans_200` are the
same with augmentation ahead of time and on the device.

Time and accuracy: not measured here.

    python -m preprocess build --source=folders --images=beans --output=DATASET \
        --image_size=128 --variants=1
    python -m trainer train --config=beans_128 --data=DATASET --workdir=RUN

ImageNet weights need a network once. Without it: `--config.model.weights=FILE`, or
`--config.model.weights=''` for random ones, which 1,034 pictures can hardly train.
"""

import ml_collections

from trainer.configs import image_folder


def get_config() -> ml_collections.ConfigDict:
    config = image_folder.get_config()
    config.augment.enabled = False
    config.data.variants = 1
    config.checkpoint.best_metric = "val_accuracy"
    return config
