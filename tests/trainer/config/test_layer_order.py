"""The order of the on-device layers, and what of it is refused."""

import pytest

from preprocess.shell.errors import ConfigError
from trainer.config import Config, check_config, load_config, with_values
from trainer.config.layer_order import layers_in_order, layers_on
from trainer.models.build_augmentation import build_augmentation


def configured(**changes):
    values = {f"augment.{name}": value for name, value in changes.items()}
    config = with_values(Config(), {"augment.enabled": True, **values})
    check_config(config)
    return config


def test_layers_act_in_the_order_asked_for():
    order = ("cutout", "flip", "crop", "brightness", "grey")
    config = configured(order=order, cutout=4, flip=True, crop=8, brightness=0.1)
    assert layers_in_order(config.augment) == list(order)
    assert layers_on(config.augment) == ["crop", "flip", "brightness", "cutout"]
    names = [layer.name for layer in build_augmentation(config.augment).layers]
    assert names == ["cutout", "random_flip", "random_crop", "random_brightness"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order": ("flip", "crup")}, "'crup': unknown on-device layer .did you mean 'crop'"),
        ({"order": ("flip", "flip")}, "augment.order: received flip, flip, each layer acts once"),
        ({"order": ("flip",), "crop": 8, "hue": 0.1}, "leaves out crop, hue, which are on"),
        ({"order": ("flip", "cutmix")}, "cutmix acts after all layers"),
        ({"resize_to": 8, "crop": 9}, "augment.crop 9 is larger than augment.resize_to 8"),
        ({"crop": 8, "cutout": 9}, "augment.cutout 9 is larger than the picture at that point, 8"),
        ({"erasing_smallest": 0.5}, "augment.erasing_smallest 0.5 is more than augment.erasing_la"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(changes, words):
    with pytest.raises(ConfigError, match=words) as caught:
        configured(**changes)
    assert "\n" not in str(caught.value)


def test_what_fits_depends_on_the_order():
    """A hole of 9 is cut out of the stored picture, before the crop to 8."""
    configured(order=("cutout", "crop"), cutout=9, crop=8)
    configured(order=("crop", "resize"), crop=9, resize_to=8)


@pytest.mark.parametrize("name", ["hue", "saturation", "grey"])
def test_colours_of_grey_pictures_are_refused(name):
    config = with_values(
        Config(), {"augment.enabled": True, f"augment.{name}": 0.5, "model.channels": 1}
    )
    with pytest.raises(ConfigError, match=f"augment.{name} changes colours, but model.channels"):
        check_config(config)


def test_the_command_of_the_documentation_is_a_configuration():
    changes = {
        "augment.cutmix": "1",
        "augment.hue": "0.05",
        "augment.zoom": "0.2",
        "augment.order": "resize,zoom,rotation,crop,hue,flip,cutout",
    }
    config = load_config("image_folder", list(changes.items()))
    assert len(build_augmentation(config.augment).layers) == 6
