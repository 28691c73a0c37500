r"""Beans, the first experiment: EfficientNetB0 at 128x128 on the pictures as they are, 20 epochs.

Global max pooling, dropout 0.5, Adam, 33 steps of 32 pictures a pass; the best state is that of the
highest accuracy on the validation split, as for all classes. Nothing is augmented: `beans_384` and
`beans_200` are the same with augmentation ahead of time and on the device.

Time and accuracy: from random weights on 829 of the photos (256x256, a split of our own, 26 steps a
pass), one run: test accuracy 59.6 %, interval 50.0 to 68.5 % on 104 photos (largest class 33.7 %);
43 minutes on two cores shared with other work (load 8 to 11), 14 minutes of processor time. With
ImageNet weights: not measured here.

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
    return config
