r"""Beans, the second experiment: stored variants of a heavy recipe at 384x384, and no others.

As `beans_128`, but for the size of the network and the variants: mirror images, shifts, turns,
colours and three cutouts (recipe `photos`), made ahead of time. Nothing is cut out a second time on
the device. The recipe `photos_light` is the alternative: turns of 10 degrees, a slight shear,
brightness.

Time and accuracy: not measured here.

    python -m preprocess build --source=folders --images=beans --output=DATASET \
        --image_size=384 --recipe=photos --variants=10
    python -m trainer train --config=beans_384 --data=DATASET --workdir=RUN
"""

import ml_collections

from trainer.configs import beans_128


def get_config() -> ml_collections.ConfigDict:
    config = beans_128.get_config()
    config.image_size = 384
    config.data.variants = 0  # all
    return config
