"""The shipped configurations: each loads, and holds the numbers of the course it stands for."""

import ast
import json
import os
import subprocess
import sys

import pytest

from trainer.config import load_config, preset_names, preset_summary
from trainer.config.files import CONFIGS
from trainer.config.keys import KEYS, get
from trainer.config.learning_sections import HUB_HANDLE

BEANS = {
    "task": "classification",
    "epochs": 20,
    "steps_per_epoch": 0,
    "batch_size": 32,
    "model.backbone": "keras:EfficientNetB0",
    "model.pooling": "max",
    "model.dropout": 0.5,
    "optimizer.name": "adam",
    "data.validation_splits": ("validation",),
    "checkpoint.best_metric": "",  # the accuracy, of classes
}

EXPECTED = {
    # The three experiments with beans: plain, augmented ahead of time, and on the device.
    "beans_128": {**BEANS, "image_size": 128, "augment.enabled": False, "data.variants": 1},
    "beans_384": {**BEANS, "image_size": 384, "augment.enabled": False, "data.variants": 0},
    "beans_200": {
        **BEANS,
        "image_size": 200,
        "data.variants": 1,
        "augment.enabled": True,
        "augment.resize_to": 300,
        "augment.crop": 200,
        "augment.flip": True,
        "augment.cutout": 100,
        "augment.rotation": 0.1,
    },
    # 200 training and 200 validation batches of 64, embedding 128, scale 1, no augmentation.
    "fec_triplet": {
        "task": "triplet",
        "epochs": 25,
        "steps_per_epoch": 200,
        "validation_steps": 200,
        "batch_size": 64,
        "image_size": 160,
        "model.backbone": HUB_HANDLE,
        "model.dropout": 0.4,
        "model.embedding_size": 128,
        "model.scale": 1.0,
        "model.trainable": "all",
        "loss.delta": 0.5,
        "optimizer.name": "adabound",
        "optimizer.learning_rate": 1e-3,
        "optimizer.final_learning_rate": 0.1,
        "optimizer.schedule": "",
        "augment.enabled": False,
        "data.variants": 1,
    },
    "fec_triplet_augmented": {
        "task": "triplet",
        "image_size": 160,
        "augment.enabled": True,
        "data.variants": 0,
        "steps_per_epoch": 0,
    },
    "image_folder": {
        "task": "classification",
        "epochs": 20,
        "steps_per_epoch": 0,
        "batch_size": 32,
        "image_size": 128,
        "model.backbone": "keras:EfficientNetB0",
        "model.pooling": "max",
        "model.dropout": 0.5,
        "optimizer.name": "adam",
        "augment.resize_to": 300,
        "augment.crop": 200,
        "augment.flip": True,
        "augment.cutout": 100,
        "augment.rotation": 0.1,
        "data.validation_splits": ("validation",),
    },
    "mnist_mlp": {
        "task": "classification",
        "epochs": 10,
        "steps_per_epoch": 0,
        "batch_size": 1024,
        "image_size": 28,
        "model.backbone": "mlp",
        "model.channels": 1,
        "model.dropout": 0.0,
        "optimizer.name": "adam",
        "optimizer.learning_rate": 1e-3,
        "augment.enabled": False,
    },
    "demo": {
        "task": "triplet",
        "model.backbone": "cnn",
        "image_size": 64,
        "model.embedding_size": 16,
        "virtual_replicas": 2,
        "augment.enabled": True,
    },
}


def test_the_presets_of_the_contract_are_there():
    assert set(preset_names()) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_preset_holds_its_numbers(name):
    config = load_config(name)
    assert {key: get(config, key) for key in EXPECTED[name]} == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_preset_loads_by_name_and_by_path_alike(name):
    by_path = load_config(os.path.join(CONFIGS, f"{name}.py"))
    assert by_path == load_config(name)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_preset_opens_with_its_command_and_what_it_costs(name):
    with open(os.path.join(CONFIGS, f"{name}.py"), encoding="utf-8") as file:
        text = ast.get_docstring(ast.parse(file.read()))
    assert f"--config={name} --data=DATASET --workdir=RUN" in text
    assert "Time and accuracy:" in text
    assert preset_summary(name) == text.splitlines()[0]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer", "presets", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_a_line_a_preset():
    lines = run().stdout.splitlines()
    assert [line.split()[0] for line in lines] == preset_names()
    assert all(preset_summary(line.split()[0]) in line for line in lines)


def test_the_command_prints_one_json_object():
    assert json.loads(run("--json").stdout) == {n: preset_summary(n) for n in preset_names()}


def test_the_command_lists_every_key_with_its_meaning():
    lines = run("--keys").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(KEYS)
    assert all(key.meaning in line for key, line in zip(KEYS.values(), lines, strict=True))


def test_the_command_takes_no_argument():
    done = run("demo")
    assert done.returncode == 64
    assert "'demo'" in done.stderr


def test_configuration_and_report_do_without_tensorflow():
    code = (
        "import sys, trainer.config, trainer.commands.presets, trainer.monitoring.tensorboard_log\n"
        "import trainer.report.page, trainer.report.history, trainer.report.contact_sheets\n"
        "trainer.config.load_config('fec_triplet')\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'keras')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
