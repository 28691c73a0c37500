r"""Beans, the third experiment: augmented on the device, crops of 200 out of 300 pixels.

As `beans_128`, but for the size of the network and what is drawn in each step: the picture as it
came is resized to 300, then cropped to 200 at random, mirrored, turned by up to a tenth of a full
turn, and has a square of 100 cut out. Validation sees the whole picture at 200 pixels.

Time and accuracy: not measured here.

    python -m preprocess build --source=folders --images=beans --output=DATASET \
        --image_size=384 --variants=1
    python -m trainer train --config=beans_200 --data=DATASET --workdir=RUN
"""

import ml_collections

from trainer.configs import image_folder


def get_config() -> ml_collections.ConfigDict:
    config = image_folder.get_config()  # with its layers on the device
    config.image_size = 200
    config.data.variants = 1
    return config
