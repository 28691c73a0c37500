"""Tables that are folders: what they list, what they read from the source, what they refuse."""

import subprocess
import sys

import pytest

from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from trainer.config import entries
from trainer.config.keys import KEYS
from trainer.config.task_table import TASKS

KINDS = {
    "backbone": entries.BACKBONES,
    "loss": entries.LOSSES,
    "optimizer": entries.OPTIMIZERS,
    "on-device layer": entries.DEVICE_LAYERS,
    "way of mixing": entries.MIXERS,
}
EACH = [(kind, name) for kind, table in KINDS.items() for name in table.names()]


def test_the_tables_hold_what_the_trainer_ships():
    assert entries.BACKBONES.names() == ("cnn", "hub", "keras", "mlp")
    assert entries.LOSSES.names() == (
        "binary_cross_entropy",
        "binary_focal",
        "brier",
        "categorical_hinge",
        "cross_entropy",
        "focal",
        "hinge",
        "huber",
        "kl_divergence",
        "log_cosh",
        "mean_absolute_error",
        "mean_squared_error",
        "squared_hinge",
        "triplet",
    )
    assert entries.OPTIMIZERS.names() == ("adabound", "amsbound")
    assert entries.device_layers() == [
        *("resize", "crop", "flip", "brightness", "hue", "saturation", "grey", "contrast"),
        *("cutout", "erasing", "shift", "zoom", "shear", "rotation"),
    ]
    assert entries.MIXERS.names() == ("cutmix", "mixup")


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_each_entry_says_what_it_is_and_has_its_build(kind, name):
    table = KINDS[kind]
    assert len(table.summary(name)) > 15
    if kind != "optimizer":  # those are classes
        assert callable(table.module(name).build)


def test_each_optimizer_is_a_class():
    """Modules of the folder that are none belong among the table's others."""
    from tensorflow.keras.optimizers import Optimizer

    from trainer.optimizers.by_name import pick, subclasses

    for name in entries.OPTIMIZERS.names():
        assert pick(name, subclasses(entries.OPTIMIZERS.module(name), Optimizer)), name


def test_each_loss_is_for_a_task_there_is_and_each_task_has_its_loss():
    """But for tasks of several parts, of which each has its own."""
    whole = {name: kind for name, kind in TASKS.items() if not kind.parts}
    assert {entries.LOSSES.constant(name, "TASK") for name in entries.LOSSES.names()} == {*whole}
    for name, kind in whole.items():
        entries.check_loss(kind.loss, name)


def test_descriptions_of_keys_list_what_the_tables_hold():
    assert "keras:NAME" in KEYS["model.backbone"].meaning
    assert "cross_entropy (classification)" in KEYS["loss.name"].meaning
    assert "amsbound" in KEYS["optimizer.name"].meaning
    for layer in entries.device_layers():
        assert {
            f"augment.{name}" for name in entries.DEVICE_LAYERS.constant(layer, "SETTINGS")
        } <= {*KEYS}


def test_an_unknown_name_is_refused_with_the_near_one_and_all_others():
    with pytest.raises(
        ConfigError, match=r"unknown backbone \(did you mean 'cnn'\?\); known are cnn"
    ):
        entries.BACKBONES.check("cn", "model.backbone")


def test_names_and_descriptions_are_read_without_the_entries():
    code = (
        "import sys\n"
        "from trainer.config.entries import BACKBONES, device_layers\n"
        "print(BACKBONES.summary('cnn'), device_layers())\n"
        "print([name for name in sys.modules if name.startswith(('trainer.models', 'tensorflow'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=datasets.REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["cnn", "mlp", "keras:A", "hub:/a/b"])
def test_forms_of_backbones_are_taken_apart(name):
    assert ":".join(filter(None, entries.backbone_parts(name))) == name


@pytest.mark.parametrize("name", ["", "cnn:", "cnn:x", "keras", "keras:", "resnet", "../cnn"])
def test_other_forms_are_refused_with_those_there_are(name):
    with pytest.raises(ConfigError, match="cnn, hub:HANDLE_OR_PATH, keras:NAME"):
        entries.backbone_parts(name)
