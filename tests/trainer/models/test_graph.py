"""The network that is rebuilt is the one that was trained, wherever its weights came from."""

import contextlib
import copy
import os
import sys

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import CLASSIFICATION
from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from trainer.models import backbone, keras_files
from trainer.models.backbones import keras as backbone_of_keras
from trainer.models.backbones.keras import GRAPH_BY_WEIGHTS, keras_applications, keras_family
from trainer.models.build_backbone import network_of
from trainer.models.graph import fingerprint, scale_as_imagenet, settle_constants
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.session import build_session

SIZE = {"NASNetLarge": 331, "NASNetMobile": 224}  # of ImageNet weights, which take no other
SIDE = 96
EFFICIENT = "keras:EfficientNetB0"
# The smallest of each family; the others have the same layers in other numbers, and take half an
# hour more.
SMALLEST = (
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2",
    "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "RegNetX002",
    "ResNet50", "ResNet50V2", "ResNetRS50", "VGG16", "VGG19", "Xception",
)  # fmt: skip
_REST = pytest.mark.skipif(
    not os.environ.get("SHARDLINE_EVERY_NETWORK"),
    reason="SHARDLINE_EVERY_NETWORK=1 tries every network of keras.applications",
)
EVERY = [
    name if name in SMALLEST else pytest.param(name, marks=_REST)
    for name in sorted(keras_applications())
]


def pictures(size=SIDE):
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype("float32")


def fill(network):
    """Numbers for all weights, none of them what they are at first, and statistics that fit."""
    rng = np.random.default_rng(1)
    for weight in network.weights:
        value = rng.uniform(0.5, 1.5, weight.shape) * (1 + np.abs(weight.numpy()))
        if "kernel" in weight.name:
            value = weight.numpy()
        weight.assign(value.astype(weight.dtype.as_numpy_dtype))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder, of Keras's cache too, for the tests of this file."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield home


@contextlib.contextmanager
def downloads(name, size):
    """In place of a download of ImageNet's weights of a network: a file with made-up numbers."""

    def download(path, origin, **_):
        with keras_files.no_weights():
            network = keras_applications()[name](
                include_top=False, weights="imagenet", input_shape=(size, size, 3)
            )
        fill(network)
        network.save_weights(path, save_format="h5")

    whole = keras_files._is_whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_files, "_is_whole", lambda path, _: whole(path, None))
        fetch = keras_files.fetch
        patch.setattr(
            keras_files,
            "fetch",
            lambda fname, origin, _, **options: fetch(fname, origin, download, **options),
        )
        yield


def check_rebuilt(name, folder):
    """Trained with ImageNet's numbers, saved as numbers, rebuilt without: bit-equal outputs."""
    size = SIZE.get(name, SIDE)
    with downloads(name, size):
        trained = backbone(f"keras:{name}", size, weights="imagenet")
    tf.train.Checkpoint(trained).write(str(folder / "state"))
    rebuilt = backbone(f"keras:{name}", size)
    assert fingerprint(rebuilt) == fingerprint(trained)
    images = pictures(size)
    assert (rebuilt(images).numpy() != trained(images).numpy()).any()
    tf.train.Checkpoint(rebuilt).read(str(folder / "state")).expect_partial()
    settle_constants(rebuilt)
    np.testing.assert_array_equal(rebuilt(images), trained(images))
    return trained, rebuilt


@pytest.fixture
def small(monkeypatch):
    """Keras's own EfficientNet with its first block only, as EfficientNetB0: seconds to build."""
    family = tf.keras.applications.efficientnet
    module = sys.modules[family.EfficientNetB0.__module__]

    def build(**options):
        blocks = copy.deepcopy(module.DEFAULT_BLOCKS_ARGS[:1])
        return module.EfficientNet(
            1.0, 1.0, 224, model_name="efficientnetb0", blocks_args=blocks, **options
        )

    build.__module__ = module.__name__
    every = keras_applications()
    for place in (sys.modules[backbone_of_keras.__name__], sys.modules[__name__]):
        monkeypatch.setattr(place, "keras_applications", lambda: every | {"EfficientNetB0": build})


def test_a_network_of_imagenet_s_weights_is_rebuilt_bit_for_bit(home, small, tmp_path):
    """Of the family whose graph Keras makes depend on the weights. A state that was saved before
    graphs were recorded belongs to the graph without the factor, with the constants 0 and 1:
    pixels / 255 are what its first convolution saw.
    """
    _, rebuilt = check_rebuilt("EfficientNetB0", tmp_path)
    network = network_of(rebuilt)
    scale_as_imagenet(network)
    entered = tf.keras.Model(network.input, network.get_layer("stem_conv_pad").input)
    np.testing.assert_allclose(entered(pictures()), pictures() / 255, rtol=1e-6)


def test_the_smallest_are_of_every_family():
    built = keras_applications()
    families = [keras_family(built[name]) for name in SMALLEST]
    assert sorted(families) == sorted({keras_family(build) for build in built.values()})


@pytest.mark.integration
@pytest.mark.parametrize("name", EVERY)
def test_every_network_of_keras_is_rebuilt_bit_for_bit(home, tmp_path, name):
    check_rebuilt(name, tmp_path)


@pytest.mark.integration
@pytest.mark.parametrize("name", EVERY)
def test_the_graph_of_no_other_network_depends_on_its_weights(name):
    size = SIZE.get(name, SIDE)
    build = keras_applications()[name]
    with keras_files.no_weights():
        graphs = [
            fingerprint(build(include_top=False, weights=weights, input_shape=(size, size, 3)))
            for weights in (None, "imagenet")
        ]
    assert (graphs[0] != graphs[1]) == (keras_family(build) in GRAPH_BY_WEIGHTS)


# The same on both stacks: a state may go on under the other.
FINGERPRINTS = {"cnn": "fdb52f6a06f61118", "mlp": "80f9ff6b039e051d"}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_fingerprint_of_a_graph_stays(name):
    assert fingerprint(backbone(name, 32))[:16] == FINGERPRINTS[name]


def test_the_fingerprint_of_a_graph_with_a_factor_stays(small):
    """The factor is a layer on one stack and an operation on the other."""
    assert fingerprint(backbone(EFFICIENT, 32))[:16] == "0db733db1d34c863"


def dense(units=3, factor=2.0, activation=None, name=None):
    inputs = tf.keras.Input((4,))
    hidden = tf.keras.layers.Dense(units, activation=activation, name=name)(inputs)
    return tf.keras.Model(inputs, tf.keras.layers.Rescaling(factor)(hidden))


@pytest.mark.parametrize(
    "changes",
    [{"units": 5}, {"factor": 2.5}, {"activation": "relu"}],
    ids=lambda each: next(iter(each)),
)
def test_layers_shapes_and_constants_are_in_the_fingerprint_and_names_are_not(changes):
    assert fingerprint(dense()) == fingerprint(dense(name="other"))
    assert fingerprint(dense()) != fingerprint(dense(**changes))


def test_what_a_layer_is_connected_to_is_in_the_fingerprint():
    def added(second):
        inputs = tf.keras.Input((4,))
        hidden = tf.keras.layers.ReLU()(inputs)
        return tf.keras.Model(inputs, tf.keras.layers.Add()([hidden, second(inputs, hidden)]))

    graphs = {fingerprint(added(lambda x, y: x)), fingerprint(added(lambda x, y: y))}
    assert len(graphs) == 2


def session_of(**changes):
    config = datasets.configuration(
        datasets.CLASSIFICATION, image_size=16, model__backbone="mlp", **changes
    )
    return build_session(config, tf.distribute.get_strategy(), CLASSIFICATION, ["a", "b"])


def test_a_state_is_refused_by_another_graph_of_the_same_shapes(tmp_path):
    """The range of pixels has no weights: their numbers alone would fit. What only training reads
    and what trains do not matter.
    """
    states = Checkpoints(tmp_path)
    saved = session_of()
    states.save(LAST, saved, {"step": 1, "epochs": 0})
    (path,) = states.states(LAST)
    same = session_of(model__dropout=0.5, model__trainable="head")
    states.restore(path, same)
    assert same.weights_digest() == saved.weights_digest()
    with pytest.raises(ConfigError, match=r"another network than model\.backbone=mlp"):
        states.restore(path, session_of(model__pixel_range="-1..1"))


def test_a_state_without_a_fingerprint_loads(tmp_path):
    states = Checkpoints(tmp_path)
    saved = session_of()
    states.save(LAST, saved, {"step": 1, "epochs": 0})
    (path,) = states.states(LAST)
    (path / "state.json").write_text('{"step": 1, "epochs": 0}')
    loaded = session_of()
    loaded.model.weights[0].assign(tf.zeros_like(loaded.model.weights[0]))
    states.restore(path, loaded)
    assert loaded.weights_digest() == saved.weights_digest()


def write_h5(path, cut=0):
    dense().save_weights(path, save_format="h5")
    with open(path, "rb+") as file:
        file.truncate(file.seek(0, 2) - cut)


def test_a_download_gets_its_name_when_it_is_complete(home, tmp_path):
    """Half a file of before, of Keras's own making, and half a download are taken for neither."""

    def download(path, origin):
        write_h5(path, cut=origin)
        seen.append((path, final.exists() and final.stat().st_size))

    seen = []
    final = home / ".keras" / "models" / "net.h5"
    with pytest.raises(OSError, match="is not complete"):
        keras_files.fetch("net.h5", 100, download)
    assert not final.exists() and not list(final.parent.glob("*.tmp-*"))
    write_h5(final, cut=100)
    half = final.stat().st_size
    assert keras_files.fetch("net.h5", 0, download) == str(final)
    assert [size for _, size in seen] == [False, half]
    assert final.stat().st_size == half + 100
    keras_files.fetch("net.h5", 0, download)
    assert len(seen) == 2  # what is there whole is not fetched again
    assert all(path != str(final) for path, _ in seen)


@pytest.mark.parametrize(
    "file_hash",
    ["acbd18db4cc2f85cedef654fccc4a4d8",
     "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"],
    ids=["md5", "sha256"],
)  # fmt: skip
def test_where_keras_knows_a_checksum_it_decides(tmp_path, file_hash):
    """Of "foo"."""
    (tmp_path / "file").write_text("foo")
    assert keras_files._is_whole(tmp_path / "file", file_hash)
    (tmp_path / "file").write_text("fop")
    assert not keras_files._is_whole(tmp_path / "file", file_hash)
