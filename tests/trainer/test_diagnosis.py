"""Bottlenecks put in on purpose are named, by a diagnosis and by a training's last sentence, and
what is changed brings what was predicted.
"""

import pytest

from tests.trainer import bottlenecks
from tests.trainer.bottlenecks import BOTTLENECKS
from tests.trainer.conftest import strategy
from trainer import devices
from trainer.diagnosis import words
from trainer.diagnosis.run import Diagnoser


@pytest.fixture(scope="session")
def data(tmp_path_factory, triplet_data, class_data):
    """Folder of a dataset by name, each built once."""
    found = {"triplets": triplet_data, "classes": class_data}

    def get(name):
        if name not in found:
            found[name] = bottlenecks.make_data(tmp_path_factory.mktemp(name), name)
        return found[name]

    return get


@pytest.fixture
def diagnoser(monkeypatch, data):
    """(bottleneck) -> (Diagnoser, its configuration), on the replicas of this process, quickly."""

    def make(bottleneck):
        import tensorflow as tf

        def prepare(config, say, cluster):
            tf.keras.utils.set_random_seed(config.seed)
            return strategy(bottleneck.replicas)

        monkeypatch.setattr(devices, "prepare", prepare)
        bottleneck.inject(monkeypatch)
        config = bottlenecks.configuration(bottleneck)
        return Diagnoser(config, data(bottleneck.data), lambda _: None, 2, 0.3), config

    return make


# The others take their time, and are of `make test-integration` and of `make bench`.
QUICK = ("storage", "python")
QUICK_TO_TRAIN = ("large pictures", "tiny batch")


def each_but(quick):
    """The bottlenecks; those that are not quick are of the integration tests."""
    return [
        name if name in quick else pytest.param(name, marks=pytest.mark.integration)
        for name in BOTTLENECKS
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", each_but(QUICK_TO_TRAIN))
def test_a_training_ends_with_what_binds(name, train_here, monkeypatch, data, tmp_path):
    """From what the loop saw and its trace, without a diagnosis."""
    bottleneck = BOTTLENECKS[name]
    bottleneck.inject(monkeypatch)
    config = bottlenecks.configuration(bottleneck, **bottlenecks.TRAINING)
    report = train_here(config, data(bottleneck.data), tmp_path / "run", bottleneck.replicas)
    assert report["bottleneck"]["stage"] == bottleneck.stage, report["bottleneck"]


@pytest.mark.slow
@pytest.mark.parametrize("name", each_but(QUICK))
def test_what_binds_is_named_and_the_change_for_it_brings_what_was_predicted(name, diagnoser):
    """Within 30 % where what was put in has a known cost, and a gain elsewhere."""
    bottleneck = BOTTLENECKS[name]
    one, config = diagnoser(bottleneck)
    before = one.diagnose(config)
    shown = "\n".join(words.table(before.model, before.found))
    assert before.model.binding == bottleneck.stage, shown
    if not bottleneck.fixed:
        return
    applied = one.apply(config, before)
    assert applied, shown
    config, done = applied
    assert tuple(done.advice.change) == bottleneck.fixed, shown
    assert done.after.speed > before.speed
    said = words.applied(done.advice, before.speed, done.after.speed)
    if bottleneck.known:
        assert done.after.speed == pytest.approx(done.advice.images_per_second, rel=0.3), said
