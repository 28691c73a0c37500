import shutil
import socket
import time

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.models import backbone, hub
from trainer.models.backbones.hub import hub_range


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """A SavedModel of the kind TF-Hub holds: mean colour times a trainable matrix."""

    class Features(tf.Module):
        def __init__(self):
            super().__init__()
            self.matrix = tf.Variable(tf.reshape(tf.range(12.0), (3, 4)), name="matrix")

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=[1, 2]) @ self.matrix

    path = str(tmp_path_factory.mktemp("hub") / "efficientnet" / "v2" / "features")
    features = Features()
    # The interface of hub.KerasLayer: a trackable with these three names.
    root = tf.train.Checkpoint()
    root.variables = root.trainable_variables = [features.matrix]
    root.__call__ = features.__call__
    tf.saved_model.save(root, path)
    return path


PICTURES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("float32")


def test_a_local_module_gives_features_of_its_own_range(module):
    body = backbone(f"hub:{module}", 8)
    scaled = PICTURES / 127.5 - 1
    expected = scaled.mean((1, 2)) @ np.arange(12.0).reshape(3, 4)
    np.testing.assert_allclose(body(PICTURES), expected, rtol=1e-4, atol=1e-4)
    assert len(body.trainable_weights) == 1
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(body(PICTURES, training=True))
    assert tape.gradient(loss, body.trainable_weights)[0].numpy().any()


def test_the_range_follows_the_handle_and_the_user():
    fec = "gs://cloud-tpu-checkpoints/efficientnet/v2/hub/efficientnetv2-b0-21k/feature-vector"
    assert hub_range(fec) == "-1..1"
    assert hub_range("https://tfhub.dev/google/imagenet/resnet_v2_50/feature_vector/5") == ("0..1")


def test_the_user_s_range_wins(module):
    body = backbone(f"hub:{module}", 8, pixel_range="0..1")
    np.testing.assert_allclose(
        body(PICTURES),
        (PICTURES / 255).mean((1, 2)) @ np.arange(12.0).reshape(3, 4),
        rtol=1e-4,
    )


def test_a_saved_model_with_a_module_gives_the_same_outputs(module, tmp_path):
    body = backbone(f"hub:{module}", 8)
    body.trainable_weights[0].assign_add(tf.ones((3, 4)))
    body.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(PICTURES), body(PICTURES))


def test_a_module_trains_on_two_replicas(module, replicas):
    with replicas.scope():
        body = backbone(f"hub:{module}", 8)
    outputs = replicas.experimental_local_results(
        replicas.run(lambda: body(PICTURES, training=True))
    )
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_a_path_without_a_module_names_the_ways_out(tmp_path):
    with pytest.raises(ConfigError, match=r"saved_model.pb.*keras:EfficientNetV2B0.*TFHUB_CACHE"):
        backbone(f"hub:{tmp_path}", 8)


def test_a_broken_module_is_named(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        backbone(f"hub:{tmp_path}", 8)


@pytest.fixture
def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]  # bound and not listening: connections are refused


@pytest.fixture
def silent_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]  # takes connections and never answers


@pytest.fixture
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_a_server_that_refuses_is_an_error_at_once(free_port, no_proxy):
    with pytest.raises(ConfigError, match=r"cannot be reached.*refused.*keras:EfficientNetV2B0"):
        backbone(f"hub:https://127.0.0.1:{free_port}/module", 8)


def test_a_server_that_never_answers_is_given_up_in_time(silent_port, no_proxy):
    begun = time.monotonic()
    with pytest.raises(ConfigError, match="cannot be reached"):
        hub.locate(f"http://127.0.0.1:{silent_port}/module", seconds=0.3)
    assert time.monotonic() - begun < hub.PROBE_SECONDS


def test_buckets_are_probed_over_https_at_the_module_s_own_file():
    assert hub.probe_url("gs://bucket/a/b") == (
        "https://storage.googleapis.com/bucket/a/b/saved_model.pb"
    )
    assert hub.probe_url("/a/local/path") is None


@pytest.mark.parametrize("scheme", ["https", "gs"])
def test_a_module_in_the_cache_needs_no_server(scheme, module, monkeypatch, tmp_path, free_port):
    """The error names the folder; with the module copied there, it loads."""
    monkeypatch.setattr(hub, "probe", lambda *_: "no network")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    handle = f"{scheme}://127.0.0.1:{free_port}/module"
    with pytest.raises(ConfigError, match="no network") as caught:
        backbone(f"hub:{handle}", 8)
    shutil.copytree(module, tmp_path / str(caught.value).split()[-1])
    scaled = PICTURES / 255
    expected = scaled.mean((1, 2)) @ np.arange(12.0).reshape(3, 4)
    np.testing.assert_allclose(backbone(f"hub:{handle}", 8)(PICTURES), expected, rtol=1e-4)
