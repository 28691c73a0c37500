"""Weights of a model from files, runs and checkpoints, its own and others'."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from tests.trainer.models.test_models import KERAS, MLP, built, configured, seeded
from trainer.models import backbone
from trainer.models.backbones.keras import keras_applications
from trainer.models.build_backbone import network_of


def test_weights_come_from_a_file_a_saved_model_or_a_run(tmp_path):
    """Another head on top: only the backbone is taken over, and said so."""
    source = seeded(configured(), 5, seed=1)
    body = source.get_layer("backbone").get_weights()
    said = []
    source.save(tmp_path / "model", save_format="tf", save_traces=False)
    (tmp_path / "config.json").write_text("{}")
    source.save(tmp_path / "model.keras")
    source.get_layer("backbone").save_weights(tmp_path / "body.weights.h5")
    places = [tmp_path, tmp_path / "model.keras", tmp_path / "body.weights.h5"]
    for place in places:
        tf.keras.utils.set_random_seed(2)
        config = configured(task="triplet", weights=str(place))
        taken = built(config, None, said.append)
        for ours, theirs in zip(taken.get_layer("backbone").get_weights(), body, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    assert all("the backbone only" in line for line in said)
    same = configured(weights=str(tmp_path))
    tf.keras.utils.set_random_seed(3)
    whole = built(same, 5, said.append)
    assert said[-1].endswith("backbone and head")
    for ours, theirs in zip(whole.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_run_that_has_not_ended_has_no_weights_to_give(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="has saved no state yet"):
        built(configured(weights=str(tmp_path)), 5)


def test_weights_come_from_older_files_checkpoints_and_states(tmp_path):
    """Of the whole model, of the backbone, of the network in it; each is read as numbers."""
    source = seeded(configured(), 5, seed=1)
    body = source.get_layer("backbone")
    source.save(tmp_path / "whole.h5")
    body.save_weights(tmp_path / "body.h5")
    source.save_weights(tmp_path / "whole.weights.h5")
    tf.train.Checkpoint(model=source).write(str(tmp_path / "state"))
    tf.train.Checkpoint(source).write(str(tmp_path / "bare"))
    for name in ("whole.h5", "body.h5", "whole.weights.h5", "state", "bare"):
        for task, classes in (("triplet", None), ("classification", 5)):
            tf.keras.utils.set_random_seed(2)
            config = configured(task=task, weights=str(tmp_path / name))
            taken = built(config, classes, lambda _: None)
            whole = task == "classification" and name != "body.h5"
            ours = taken if whole else taken.get_layer("backbone")
            theirs = source if whole else body
            for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
                np.testing.assert_array_equal(one, other, err_msg=f"{name} {task}")


def around(net, how):
    """What people build around a network of Keras before they save it."""
    layers = tf.keras.layers
    if how == "alone":
        return net
    if how == "sequential":
        return tf.keras.Sequential([net, layers.GlobalAveragePooling2D(), layers.Dense(5)])
    if how == "its layers":
        pooled = layers.GlobalAveragePooling2D()(net.output)
        return tf.keras.Model(net.input, layers.Dense(5)(pooled))
    inputs = tf.keras.Input((32, 32, 3))
    inner = tf.keras.Model(inputs, net(layers.Rescaling(2.0)(inputs)))
    outer = tf.keras.Input((32, 32, 3))
    return tf.keras.Model(outer, layers.Dense(5)(layers.Flatten()(inner(outer))))


def small_net(pooling=None, **_):
    """In place of a network of Keras: a convolution with its BatchNorm, in milliseconds."""
    layers = tf.keras.layers
    inputs = tf.keras.Input((32, 32, 3))
    features = layers.Conv2D(4, 3, name="Conv1", use_bias=False)(inputs)
    features = layers.ReLU()(layers.BatchNormalization(name="bn_Conv1")(features))
    if pooling:
        features = layers.GlobalAveragePooling2D()(features)
    return tf.keras.Model(inputs, features, name="small")


small_net.__module__ = tf.keras.applications.MobileNetV2.__module__


@pytest.mark.parametrize("how", ["alone", "sequential", "its layers", "twice nested"])
def test_the_network_inside_of_what_others_saved_is_found(how, tmp_path, monkeypatch):
    """Saved whole or as weights, by Keras's newer and older forms and TensorFlow's own."""
    module = sys.modules[keras_applications.__module__]
    monkeypatch.setattr(module, "keras_applications", lambda: {"MobileNetV2": small_net})
    rng, net = np.random.default_rng(0), small_net()
    for weight in net.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    model = around(net, how)
    model.save(tmp_path / "new.keras")
    model.save(tmp_path / "old.h5")
    model.save(tmp_path / "saved", save_format="tf", save_traces=False)
    model.save_weights(tmp_path / "new.weights.h5")
    model.save_weights(tmp_path / "checkpoint")
    for name in ("new.keras", "old.h5", "saved", "new.weights.h5", "checkpoint"):
        tf.keras.utils.set_random_seed(2)
        said = []
        taken = built(configured(weights=str(tmp_path / name), **KERAS), 3, said.append)
        ours = network_of(taken.get_layer("backbone")).get_weights()
        for one, other in zip(ours, net.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"{name} {how}")
        assert said[-1].endswith("the backbone only")


@pytest.mark.parametrize("form", ["keras", "h5", "tf"])
def test_where_no_network_is_inside_it_says_what_is(form, tmp_path):
    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(3)])
    path = tmp_path / f"model.{form}"
    model.save(path, save_format=form)
    with pytest.raises(ConfigError, match=r"it holds \d arrays \(.*nowhere the \d+ of "):
        built(configured(weights=str(path)), 3)


def test_a_run_whose_last_state_is_damaged_gives_its_best(tmp_path):
    from trainer.training.checkpoints import BEST, LAST, Checkpoints
    from trainer.training.session import Session

    source = seeded(configured(**MLP), 5, seed=1)
    (tmp_path / "config.json").write_text("{}")
    session = Session(configured(**MLP), tf.distribute.get_strategy(), None, source, None)
    for kind, step in ((BEST, 1), (LAST, 2)):
        Checkpoints(tmp_path / "checkpoints").save(kind, session, {"step": step, "epochs": 1})
    (state,) = (tmp_path / "checkpoints" / LAST).iterdir()
    (state / "state.index").write_bytes(b"nonsense")
    said = []
    taken = built(configured(weights=str(tmp_path), **MLP), 5, said.append)
    assert "a run, its best state" in said[-1]
    np.testing.assert_array_equal(taken.get_weights()[0], source.get_weights()[0])


@pytest.mark.parametrize("form", ["tf", "h5", "keras"])
def test_code_in_a_file_of_weights_never_runs(tmp_path, form):
    """A Lambda layer that writes a file when the model is loaded or called."""
    written = tmp_path / "written"
    target = str(written)

    def writes(x):
        tf.io.write_file(target, "x")
        return x

    inputs = tf.keras.Input((8,))
    hidden = tf.keras.layers.Lambda(writes)(inputs)
    hostile = tf.keras.Model(inputs, tf.keras.layers.Dense(3, name="backbone")(hidden))
    path = tmp_path / f"model.{form}"
    hostile.save(path, save_format=form)
    written.unlink(missing_ok=True)
    with pytest.raises(ConfigError, match="does not fit"):
        built(configured(weights=str(path)), 5)
    assert not written.exists()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda path: path.mkdir(), "a folder with neither"),
        (lambda path: path.write_bytes(b"PK"), "neither .keras, .h5 nor a checkpoint"),
        (lambda path: None, "no such weights"),
    ],
)
def test_what_holds_no_weights_is_called_what_it_is(tmp_path, make, match):
    make(tmp_path / "thing")
    with pytest.raises(ConfigError, match=match):
        built(configured(weights=str(tmp_path / "thing")), 5)


def test_weights_of_another_network_are_refused(tmp_path):
    seeded(configured(**MLP), 5).save(tmp_path / "mlp.keras")
    with pytest.raises(ConfigError, match="does not fit"):
        built(configured(weights=str(tmp_path / "mlp.keras")), 5)
    (tmp_path / "torn.weights.h5").write_bytes(b"not weights")
    with pytest.raises(ConfigError, match="is not read"):
        built(configured(weights=str(tmp_path / "torn.weights.h5")), 5)


def test_imagenet_weights_that_cannot_be_fetched_name_the_ways_out(monkeypatch, capsys):
    """Keras turns a failed download into a bare Exception; a stand-in for its download does so."""

    def fail(*_, **__):
        print("Downloading data from ...")
        raise Exception("URL fetch failure on https://example.invalid: None")

    # Of whichever package `tf.keras` is.
    monkeypatch.setattr(sys.modules[tf.keras.utils.get_file.__module__], "get_file", fail)
    with pytest.raises(ConfigError, match=r"imagenet of MobileNetV2 .*model.weights=''"):
        backbone("keras:MobileNetV2", 96, weights="imagenet")
    assert capsys.readouterr().out == ""
