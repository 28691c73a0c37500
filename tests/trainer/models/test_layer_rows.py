"""The table of a model's layers: counted by Keras itself, frozen where it is."""

import dataclasses

import pytest

from tests.trainer import datasets
from trainer.config import Config
from trainer.models import build_model
from trainer.models.layer_rows import layer_rows
from trainer.report.layer_table import layers_section, table_lines, total_in_words


def model(trainable="all", backbone="keras:MobileNetV2"):
    section = dataclasses.replace(Config().model, backbone=backbone, trainable=trainable)
    config = dataclasses.replace(Config(), model=section, image_size=32)

    def head(features):
        import tensorflow as tf

        return tf.keras.layers.Dense(3, name="head")(features)

    return build_model(config, head)


def count(weights):
    return sum(weight.numpy().size for weight in weights)


@pytest.mark.parametrize("trainable", ["all", "head", "block_16_expand"])
def test_its_sums_are_those_of_keras(trainable):
    built = model(trainable)
    rows = layer_rows(built)
    assert sum(row.weights for row in rows) == built.count_params()
    assert sum(row.trained for row in rows) == count(built.trainable_weights)
    assert len({row.name for row in rows}) == len(rows) > 100  # the network's own are among them
    by_name = {row.name.rpartition("/")[2]: row for row in rows}
    assert by_name["head"].cells[1:] == ("Dense", "3", "3,843", "3,843")  # 1280 * 3 + 3
    stem = by_name["Conv1"]  # 3 * 3 * 3 * 32, of a picture of 32x32 at stride 2
    expected = "864" if trainable == "all" else "frozen"
    assert stem.cells[1:] == ("Conv2D", "16x16x32", "864", expected)
    assert by_name["Conv1_relu"].cells[3:] == ("0", "0")


def test_the_table_and_the_page_say_how_many_train():
    rows = layer_rows(model("head", "mlp"))
    assert total_in_words(rows).endswith(" weights, of which 1,503 train")  # 500 * 3 + 3
    lines = table_lines(rows)
    assert lines[0].split() == ["layer", "kind", "output", "weights", "trained"]
    assert len(lines) == len(rows) + 1
    section = layers_section(rows)
    assert section.folded and len(section.rows) == len(rows)


def test_check_lists_them(class_data, tmp_path):
    config = datasets.write_config(
        tmp_path / "config.py", datasets.CLASSIFICATION, **{"model.backbone": "mlp"}
    )
    done = datasets.command(
        "trainer", "check", f"--config={config}", f"--data={class_data}", "--layers"
    )
    assert done.returncode == 0, done.stderr
    assert " of which " in done.stdout
    assert "\nlayer" in done.stdout and "Dense" in done.stdout
