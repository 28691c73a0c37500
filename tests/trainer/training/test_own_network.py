"""A user's own backbone, head and on-device layers: trained, resumed, exported; or refused."""

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError
from tests.trainer import datasets, own_code
from tests.trainer.conftest import strategy
from trainer.data.reader import open_reader
from trainer.inference.serving import Serving
from trainer.inference.trained_run import open_run
from trainer.training.own_code_trial import try_own_code
from trainer.training.session import session_for


def configuration(tmp_path, **changes):
    files = {"network": own_code.NETWORK, "layer": own_code.LAYER}
    mine = own_code.write(tmp_path / "mine", **files)
    own = {
        "model__backbone": f"{mine}/network.py:body",
        "model__head": f"{mine}/network.py:head",
        "augment__layers": (f"{mine}/layer.py:Tint",),
        "augment__enabled": True,
    }
    return datasets.configuration(datasets.CLASSIFICATION, **{**own, **changes})


def tried(config, data, replicas=1):
    """Builds a session and tries it; returns what was tried."""
    manifest = Manifest.load(data)
    session = session_for(config, strategy(replicas), manifest, lambda _: None, weights=True)
    reader = open_reader(data, manifest, "train", config, training=True)
    before = session.weights_digest()
    found = try_own_code(session, reader)
    assert session.weights_digest() == before
    return found


@pytest.mark.parametrize("replicas", [1, 2])
def test_own_parts_are_tried_and_leave_no_trace(class_data, tmp_path, replicas):
    """BatchNorm's statistics among it, which a step in training moves."""
    keys = ["model.backbone", "model.head", "augment.layers.Tint"]
    assert tried(configuration(tmp_path), class_data, replicas) == keys


@pytest.mark.integration
def test_own_parts_train_resume_and_are_served(class_data, tmp_path, train_here):
    """Saved after the first of two epochs, and resumed, the run has the weights of one that was
    not stopped.
    """
    whole = train_here(configuration(tmp_path), class_data, tmp_path / "whole")
    first = configuration(tmp_path, epochs=1)
    train_here(first, class_data, tmp_path / "halves")
    again = train_here(configuration(tmp_path), class_data, tmp_path / "halves", model=True)
    assert any("step 3 of 6" in line for line in again["said"])
    assert again["weights_digest"] == whole["weights_digest"]
    config = configuration(tmp_path)
    trust = [config.model.backbone, config.model.head, *config.augment.layers]
    serving = Serving(open_run(str(tmp_path / "halves"), "last", lambda _: None, trust))
    assert serving.dimensions == 8  # of the features in front of the head
    served = serving.outputs(np.zeros((3, 24, 24, 3), np.uint8))
    assert served["probabilities"].shape == (3, 2)
    loaded = tf.keras.models.load_model(
        tmp_path / "halves" / "model", custom_objects=_custom(tmp_path), compile=False
    )
    assert loaded.output_shape == (None, 2)


def _custom(tmp_path):
    from preprocess.shell.references import load_reference

    return {"Gain": load_reference(f"{tmp_path}/mine/network.py:Gain", "key")}


def test_settings_reach_backbone_and_head(class_data, tmp_path):
    changes = {"model__backbone_args": {"width": 5}, "model__head_args": {"rate": 0.0}}
    config = configuration(tmp_path, **changes)
    session = session_for(
        config, strategy(1), Manifest.load(class_data), lambda _: None, weights=True
    )
    assert session.model.get_layer("backbone").output_shape == (None, 5)
    with pytest.raises(ConfigError, match="unexpected keyword argument 'wdth'"):
        tried(configuration(tmp_path, model__backbone_args={"wdth": 5}), class_data)


START = "import tensorflow as tf\nK = tf.keras.layers\n"
BACKBONES = [
    ("def f(): 0", "too many positional arguments; it is called as f.images"),
    ("def f(images):\n    return 3", "returns a int; it must return features, such as model"),
    (
        "def f(images):\n    return K.Flatten()(images)[0]",
        "returns float32.*it must return features",
    ),
    ("def f(images):\n    return images.numpy()", "part.py, line 4: AttributeError"),
    (
        "def f(images):\n    return K.Flatten()(tf.keras.Input((24, 24, 3)))",
        "its result is not computed from its input",
    ),
    (
        "def f(images):\n    return K.Dense(2)(K.Flatten()(images) * 1e38)",
        "its outputs are NaN or infinite on a batch of noise",
    ),
    (
        "def f(images):\n    return tf.stop_gradient(K.Dense(2, name='d')(K.Flatten()(images)))",
        "no gradient reaches 2 of its weights .d/kernel:0, d/bias:0.; have them",
    ),
    (
        "def f(images):\n    noise = K.Lambda(lambda x: x * tf.random.uniform([]))\n"
        "    return noise(K.Flatten()(images))",
        "returns another result when called again",
    ),
    (
        "def f(images):\n    flat = K.Flatten()(images)\n"
        "    return K.Lambda(lambda x: x - tf.reduce_mean(x, 0))(flat)",
        "depends on the other records of the batch",
    ),
    (
        "class L(K.Layer):\n    def __init__(self, size):\n        super().__init__()\n"
        "    def call(self, x):\n        return x\n"
        "def f(images):\n    return L(object())(K.Flatten()(images))",
        "a layer of it cannot be described in a saved state",
    ),
    (
        "W = []\nclass L(K.Layer):\n    def call(self, x):\n"
        "        if not W:\n            with tf.init_scope():\n"
        "                W.append(tf.Variable(2.0, name='mine'))\n        return x * W[0]\n"
        "def f(images):\n    return L()(K.Flatten()(images))",
        "the weight .*mine:0 is not part of the model",
    ),
]


@pytest.mark.parametrize(("text", "words"), BACKBONES)
def test_a_backbone_that_cannot_be_trained_is_one_line(class_data, tmp_path, text, words):
    mine = own_code.write(tmp_path / "mine", part=START + text)
    config = datasets.configuration(
        datasets.CLASSIFICATION, model__backbone=f"{mine}/part.py:f", model__dropout=0.0
    )
    with pytest.raises(ConfigError, match=words) as caught:
        tried(config, class_data)
    assert str(caught.value).startswith(f"model.backbone={mine}/part.py:f")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(features): 0", "it is called as f.features, outputs"),
        (
            "def f(features, outputs):\n    return K.Dense(3)(features)",
            "must return .N,2., as outp",
        ),
        ("def f(features, outputs):\n    return features.x", "line 4: AttributeError"),
    ],
)
def test_a_head_that_does_not_fit_is_one_line(class_data, tmp_path, text, words):
    mine = own_code.write(tmp_path / "mine", part=START + text)
    config = datasets.configuration(datasets.CLASSIFICATION, model__head=f"{mine}/part.py:f")
    with pytest.raises(ConfigError, match=words):
        tried(config, class_data)


LAYER = "class F(K.Layer):\n    def call(self, images, training=None):\n        "
LAYERS = [
    ("def F(images): 0", "is a function, no subclass of"),
    ("class F(K.Layer):\n    def __init__(self, x):\n        0", "F.name='F'"),
    (f"{LAYER}return images[..., :2]", "returns float32.*it must return float32.8,H,W,3."),
    (f"{LAYER}return tf.cast(images, tf.float16)", "returns float16"),
    (f"{LAYER}return images / 0.0", "NaN or infinite"),
    (f"{LAYER}return images.x", "part.py, line 5: AttributeError"),
    (f"{LAYER}return images * tf.random.uniform([])", "draws random numbers of its own"),
    (f"{LAYER}return images - tf.reduce_mean(images)", "another number of replicas"),
    (f"{LAYER}return K.Dense(3)(images)", "fails: .*|has weights"),
]


@pytest.mark.parametrize(("text", "words"), LAYERS)
def test_a_layer_that_cannot_be_repeated_is_one_line(class_data, tmp_path, text, words):
    mine = own_code.write(tmp_path / "mine", part=START + text)
    config = datasets.configuration(
        datasets.CLASSIFICATION, augment__enabled=True, augment__layers=(f"{mine}/part.py:F",)
    )
    with pytest.raises(ConfigError, match=words) as caught:
        tried(config, class_data)
    assert str(caught.value).startswith(f"augment.layers={mine}/part.py:F")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model__head": "two"}, "model.head: received 'two', takes FILE.py:NAME"),
        ({"augment__layers": ("flip",)}, "augment.layers: received 'flip', takes FILE.py:NAME"),
        ({"augment__layers": ("a.py:F", "b.py:F")}, "F, F: names must differ"),
        ({"model__backbone_args": {"a": 1}}, "only a backbone of your own takes some"),
        ({"model__backbone": "a.py:f", "model__weights": "imagenet"}, "not for your own"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        datasets.configuration(datasets.CLASSIFICATION, **changes)
