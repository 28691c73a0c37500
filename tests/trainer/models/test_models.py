import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config import Config, with_values
from trainer.models import backbone, build_model, pixels, randomness
from trainer.models.backbones.keras import FAMILIES, keras_applications, keras_family
from trainer.models.build_backbone import network_of
from trainer.tasks.task import make_task

RNG = np.random.default_rng(0)


def pictures(size=32, channels=3, count=2):
    return RNG.integers(0, 256, (count, size, size, channels)).astype("uint8")


def configured(task="classification", image_size=32, **model):
    """A configuration with the keys that a model reads."""
    keys = {"backbone": "cnn", "embedding_size": 16, **model}
    values = {f"model.{name}": value for name, value in keys.items()}
    return with_values(Config(), {"task": task, "image_size": image_size, **values})


def built(config, classes, *rest):
    """The model of a task with so many classes."""
    task = make_task(config, [f"class {number}" for number in range(classes or 0)])
    return build_model(config, task.head, *rest)


def seeded(config, classes, seed=0):
    tf.keras.utils.set_random_seed(seed)
    return built(config, classes)


MLP = {"backbone": "mlp", "channels": 1}
KERAS = {"backbone": "keras:MobileNetV2"}
each_backbone = pytest.mark.parametrize("model", [{}, MLP, KERAS], ids=["cnn", "mlp", "keras"])


@each_backbone
def test_a_saved_model_gives_the_same_outputs(model, tmp_path):
    config = configured(**model)
    built = seeded(config, 5)
    images = pictures(channels=config.model.channels)
    built.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    outputs = built(images, training=False)
    assert outputs.shape == (2, 5)
    assert outputs.dtype == tf.float32
    np.testing.assert_array_equal(loaded(images, training=False), outputs)
    # Loaded layers keep their labels, so training goes on with the same numbers.
    if not model:
        with randomness.keyed(0, 0, [0, 1], 2):
            np.testing.assert_array_equal(
                loaded(images, training=True), built(images, training=True)
            )


@pytest.mark.parametrize("model", [{}, MLP], ids=["cnn", "mlp"])
def test_first_weights_are_a_function_of_the_seed(model):
    first, again, other = (seeded(configured(**model), 5, seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_bytes_and_floats_of_0_to_255_are_the_same_picture():
    model, images = seeded(configured(), 5), pictures()
    np.testing.assert_array_equal(model(images), model(images.astype("float32")))


def test_embeddings_lie_on_a_sphere_of_the_scale():
    model = seeded(configured(task="triplet", scale=4.0), None)
    embeddings = model(pictures(count=6))
    assert embeddings.shape == (6, 16)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 4.0, rtol=1e-6)


def test_a_model_exports_to_serve_bytes(tmp_path):
    """By ExportArchive, which saves what it is told to.

    `tf.saved_model.save` of a Keras model traces training as well, which has no key there.
    """
    model, images = seeded(configured(), 5), pictures()
    archive = tf.keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        lambda pixels: model(pixels, training=False),
        input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.uint8)],
    )
    archive.write_out(str(tmp_path / "export"))
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(loaded.serve(images), model(images), rtol=1e-5, atol=1e-6)


def test_the_head_drops_features_in_training_by_key():
    model, images = seeded(configured(dropout=0.5), 5), pictures()

    def train(step):
        with randomness.keyed(0, tf.constant(step, tf.int64), [0, 1], 2):
            return model(images, training=True).numpy()

    assert (train(0) != train(1)).any()
    np.testing.assert_array_equal(train(0), train(0))
    with pytest.raises(randomness.NotKeyedError):
        model(images, training=True)


def test_the_small_network_is_small_and_has_no_batch_statistics():
    model = seeded(configured(image_size=64), 5)
    assert 100_000 < model.count_params() < 200_000
    assert len(model.trainable_weights) == len(model.weights)


def test_mnist_network_is_500_500_10():
    """784 * 500 + 500, 500 * 500 + 500, 500 * 10 + 10 = 648,010 weights."""
    assert seeded(configured(image_size=28, **MLP), 10).count_params() == 648_010


def test_a_frozen_backbone_leaves_the_head_to_train():
    model = seeded(configured(trainable="head", **KERAS), 5)
    assert [w.name for w in model.trainable_weights] == ["logits/kernel:0", "logits/bias:0"]
    images = pictures()
    body = model.get_layer("backbone")
    # BatchNorm is frozen too: training and inference agree.
    np.testing.assert_array_equal(body(images, training=True), body(images, training=False))


def test_a_backbone_trains_from_a_layer_on_and_frozen_batchnorm_is_that_of_inference():
    """Of MobileNetV2 from its last block on: one pass in training mode moves the statistics of
    those layers only, and what comes out of the frozen ones is what inference gives.
    """
    model = seeded(configured(trainable="block_16_expand", dropout=0.0, **KERAS), 5)
    network = network_of(model.get_layer("backbone"))
    names = [layer.name for layer in network.layers]
    first = names.index("block_16_expand")
    trained = {weight.name.split("/")[0] for weight in network.trainable_weights}
    assert "block_16_expand" in trained
    assert all(names.index(name) >= first for name in trained)

    def statistics():
        return {w.name: w.numpy() for w in network.weights if "moving_mean" in w.name}

    before, images = statistics(), pictures()
    with randomness.keyed(0, 0, [0, 1], 2):
        model(images, training=True)
    after = statistics()
    moved = {name.split("/")[0] for name in before if (before[name] != after[name]).any()}
    assert moved == {name for name in names[first:] if name.endswith("BN") or name == "Conv_1_bn"}
    frozen = tf.keras.Model(network.input, network.layers[first - 1].output)
    inputs = images.astype("float32")
    np.testing.assert_array_equal(frozen(inputs, training=True), frozen(inputs, training=False))


@pytest.mark.parametrize("name", ["cnn", "keras:MobileNetV2"])
def test_pooling_is_mean_or_maximum_over_places(name):
    average, maximum = (backbone(name, 64, pooling=pooling) for pooling in ("avg", "max"))
    maximum.set_weights(average.get_weights())
    images = pictures(64).astype("float32")
    assert (maximum(images).numpy() >= average(images).numpy()).all()
    assert (maximum(images).numpy() > average(images).numpy()).any()


def test_mixed_precision_reaches_the_backbone_and_not_the_head():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = seeded(configured(task="triplet"), None)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    body = model.get_layer("backbone")
    assert body.get_layer("conv_0").compute_dtype == "bfloat16"
    assert body.get_layer("range").compute_dtype == "float32"
    assert model.get_layer("embedding").compute_dtype == "float32"
    embeddings = model(pictures())
    assert embeddings.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["cnn", "keras:MobileNetV2"])
def test_channels_last_whatever_the_user_s_keras_json_says(name):
    tf.keras.backend.set_image_data_format("channels_first")
    try:
        model = backbone(name, 32)
        assert tf.keras.backend.image_data_format() == "channels_first"
    finally:
        tf.keras.backend.set_image_data_format("channels_last")
    assert model(pictures().astype("float32")).shape[0] == 2
    formats = [getattr(layer, "data_format", None) for layer in model.submodules]
    assert "channels_first" not in formats
    assert "channels_last" in formats


def test_grey_pictures_become_rgb_for_networks_of_others():
    model = backbone("keras:MobileNetV2", 32, channels=1)
    grey = pictures(channels=1).astype("float32")
    colour = tf.keras.Model(model.layers[1].output, model.output)
    np.testing.assert_array_equal(model(grey), colour((np.repeat(grey, 3, -1) - 127.5) / 127.5))


def test_every_network_of_keras_has_a_pixel_range():
    families = {keras_family(build) for build in keras_applications().values()}
    assert families == set(FAMILIES)
    assert set(FAMILIES.values()) <= set(pixels.RANGES)


@pytest.mark.parametrize("family", FAMILIES)
def test_ranges_are_those_of_keras_s_own_preprocessing(family):
    """Its preprocess_input is the identity where the network rescales inside."""
    images = pictures().astype("float32")
    expected = getattr(tf.keras.applications, family).preprocess_input(images.copy())
    ours = pixels.Pixels(FAMILIES[family])(images)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "first"),
    [("EfficientNetB0", "Rescaling"), ("EfficientNetV2B0", "Rescaling"), ("MobileNetV2", "Conv2D")],
)
def test_networks_of_the_identity_range_do_rescale_inside(name, first):
    """The first layer after the input rescales where the table says so, and not otherwise."""
    network = getattr(tf.keras.applications, name)(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    assert type(network.layers[1]).__name__ == first
    inside = FAMILIES[keras_family(getattr(tf.keras.applications, name))] == "0..255"
    assert inside == (first == "Rescaling")


def test_a_pixel_range_of_the_user_s_replaces_the_table_s():
    body = backbone("cnn", 32, pixel_range="0..1")
    np.testing.assert_allclose(body.get_layer("range")(np.full((1, 2, 2, 3), 255)), 1.0)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"backbone": "resnet"}, "keras:NAME"),
        ({"backbone": "keras:"}, "keras:NAME"),
        ({"backbone": "keras:EficientNetV2B0"}, "similar names: .*EfficientNetV2B0"),
        ({"backbone": "keras:InceptionV3"}, "image_size=32"),
        ({"pooling": "sum"}, "avg, max"),
        ({"trainable": "tail"}, "neither all, head nor a layer .* its last are .*norm_4"),
        ({"trainable": "conv_9"}, "similar names: .*conv_4"),
        ({"pixel_range": "0-1"}, "0..255"),
        ({"pixel_range": "torch", "channels": 1}, "3 channels"),
        ({"weights": "imagenet"}, "keras: backbones"),
        ({"weights": "nowhere.h5"}, "nowhere.h5: no such"),
    ],
)
def test_what_cannot_be_is_named(changes, match):
    with pytest.raises(ConfigError, match=match) as caught:
        built(configured(**changes), 5)
    assert "\n" not in str(caught.value)


def test_classes_are_refused_on_a_dataset_that_has_none():
    with pytest.raises(ConfigError, match="task=classification"):
        built(configured(task="classification"), None)


def test_names_of_networks_are_taken_in_any_case():
    assert backbone("keras:mobilenetv2", 32).output_shape == (None, 1280)
