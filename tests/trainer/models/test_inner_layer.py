"""The output of a layer inside of a network, as `embed --layer` gives it."""

import json

import numpy as np
import pytest

from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from tests.trainer.models.test_layer_rows import model
from trainer.inference.embedding import layer_of_embeddings, load_embeddings
from trainer.models.inner_layer import inner_features


@pytest.fixture(scope="module")
def network():
    return model()


@pytest.mark.parametrize("name", ["Conv1_relu", "backbone/mobilenetv2_1.00_32/Conv1_relu"])
def test_it_is_the_mean_of_what_the_layer_gives(network, name):
    """Relu of BatchNorm of the first convolution, by the network's own layers."""
    import tensorflow as tf

    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    part = tf.keras.Model(network.input, inner_features(network, name))
    body = network.get_layer("backbone")
    inside = body.get_layer("mobilenetv2_1.00_32")
    found = body.get_layer("range")(pictures)
    for layer in ("Conv1", "bn_Conv1", "Conv1_relu"):
        found = inside.get_layer(layer)(found, training=False)
    expected = found.numpy().mean((1, 2))
    assert expected.std() > 0.001
    np.testing.assert_allclose(part(pictures, training=False), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_of_the_model_itself(network):
    assert inner_features(network, "head").shape == (None, 3)


def test_a_name_with_a_slash_and_one_that_another_ends_with():
    """As blocks of MobileNetV3 and DenseNet are called."""
    import tensorflow as tf

    inputs = tf.keras.Input([4])
    first = tf.keras.layers.Dense(3, name="block/conv")(inputs)
    second = tf.keras.layers.Dense(2, name="conv")(first)
    network = tf.keras.Model(inputs, second)
    assert inner_features(network, "block/conv").shape == (None, 3)
    assert inner_features(network, "conv").shape == (None, 2)


def test_another_name_is_refused_with_similar_ones(network):
    with pytest.raises(ConfigError, match=r"--layer=Conv2: no such layer; similar names: Conv"):
        inner_features(network, "Conv2")


def test_embed_writes_them_and_neighbours_compares_them(class_runs, class_data, tmp_path):
    file = tmp_path / "layer.npz"
    flags = [f"--workdir={class_runs[0]}", f"--images={class_data}", f"--output={file}"]
    done = datasets.command("trainer", "embed", *flags, "--layer=relu_1", "--split=test")
    assert done.returncode == 0, done.stderr
    stored = load_embeddings(str(file))
    assert layer_of_embeddings(str(file)) == "relu_1"
    assert stored["metric"].item().startswith("cosine")
    picture = tmp_path / "query.png"
    datasets.picture(True, 0).save(picture)
    query = ["neighbours", f"--workdir={class_runs[0]}", f"--embeddings={file}"]
    query += [f"--query={picture}", f"--output={tmp_path / 'sheet.png'}", "--json"]
    done = datasets.command("trainer", *query)
    assert done.returncode == 0, done.stderr
    # The nearest by NumPy, from the same layer's outputs of the query's own file.
    (tmp_path / "one").mkdir()
    picture.rename(tmp_path / "one" / "query.png")
    flags[1:] = [f"--images={tmp_path / 'one'}", f"--output={tmp_path / 'one.npz'}"]
    assert datasets.command("trainer", "embed", *flags, "--layer=relu_1").returncode == 0
    unit = stored["embeddings"] / np.linalg.norm(stored["embeddings"], axis=1, keepdims=True)
    asked = load_embeddings(str(tmp_path / "one.npz"))["embeddings"][0]
    distances = 1 - unit @ (asked / np.linalg.norm(asked))
    found = json.loads(done.stdout)["neighbours"]
    assert found[0]["id"] == stored["ids"][distances.argmin()]
    assert found[0]["distance"] == pytest.approx(distances.min(), abs=1e-5)
