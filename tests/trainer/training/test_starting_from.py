"""There is always a way on: from another run, after divergence, an early stop or damage."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError, DataError
from tests.trainer import datasets
from tests.trainer.conftest import strategy, train_in_process
from trainer.data.dataset import digest_for, what_it_reads
from trainer.inference.trained_run import open_run
from trainer.optimizers.current_rate import current_rate
from trainer.training.checkpoints import BEST, LAST, Checkpoints
from trainer.training.session import Session, add_optimizer
from trainer.training.starting_from import after_divergence, find_origin, take_optimizer

SMALL = {"model__backbone": "mlp", "image_size": 16, "augment__enabled": False, "augment__crop": 0}


def classes(**changes):
    return datasets.configuration(
        datasets.CLASSIFICATION, **{**SMALL, "data__validation_splits": ("test",), **changes}
    )


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def source(class_data, tmp_path_factory):
    """A run of two epochs, and its folder."""
    run = tmp_path_factory.mktemp("source") / "run"
    with pytest.MonkeyPatch.context() as patch:
        train_in_process(patch, classes(), class_data, run)
    return run


def test_a_new_run_starts_from_a_state_of_another_with_another_batch_and_rate(
    source, class_data, tmp_path, monkeypatch
):
    """With a rate of next to nothing its weights stay where the other run's were. Started again
    it goes on by itself, and from nowhere else.
    """
    from trainer import train as training
    from trainer.workers import devices

    monkeypatch.setattr(devices, "prepare", lambda *_: strategy(1))
    config = classes(batch_size=4, epochs=1, optimizer__learning_rate=1e-12)
    said = []
    run = tmp_path / "run"
    training.train(config, class_data, str(run), said.append, origin=f"{source}@{BEST}")
    (line,) = [line for line in said if "starting from" in line]
    assert line.endswith("with the optimizer's state")
    record = json.loads((run / "config.json").read_text())["from"]
    best = Checkpoints(source / "checkpoints").states(BEST)[0]
    assert record["run"] == str(source) and record["state"] == f"checkpoints/best/{best.name}"
    before = next(row for row in rows(source) if row["step"] == record["step"])
    assert rows(run)[0]["val_loss"] == pytest.approx(before["val_loss"], rel=1e-5)
    assert rows(run)[0]["learning_rate"] == pytest.approx(1e-12)
    assert rows(run)[0]["step"] == 6  # of 21 pictures by 4, from 0 on

    more = classes(batch_size=4, epochs=2, optimizer__learning_rate=1e-12)
    training.train(more, class_data, str(run), said.append)
    assert json.loads((run / "config.json").read_text())["from"] == record
    with pytest.raises(ConfigError, match="already has saved states, and started from"):
        training.train(more, class_data, str(run), said.append, origin=str(source))


def test_a_state_is_named_by_its_run_its_kind_or_its_step(source):
    (last,), (best,) = (Checkpoints(source / "checkpoints").states(kind) for kind in (LAST, BEST))
    assert find_origin(str(source)).state == last
    assert find_origin(f"{source}@last").state == last
    assert find_origin(f"{source}@best").state == best
    assert find_origin(f"{source}@6").step == 6
    with pytest.raises(ConfigError, match=r"has no such state; it has last, best or a step of .*6"):
        find_origin(f"{source}@7")
    with pytest.raises(ConfigError, match="no such run directory"):
        find_origin(f"{source}-none@best")


def one_layer(**optimizer):
    """A session of one dense layer, trained by 3 steps."""
    config = classes(**{f"optimizer__{name}": value for name, value in optimizer.items()})
    with strategy(1).scope():
        model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(2)])
    session = Session(config, strategy(1), None, model, None)
    add_optimizer(session, 10)
    return session


def state_of(folder, **optimizer):
    """The state of step 3 of such a session in a run directory."""
    session = one_layer(**optimizer)
    variables = session.model.trainable_variables

    def step():
        session.model.optimizer.apply_gradients([(tf.ones_like(v), v) for v in variables])

    for _ in range(3):
        strategy(1).run(tf.function(step))
    Checkpoints(folder / "checkpoints").save(LAST, session, {"step": 3, "epochs": 1})
    dataset = {"task": "classification", "classes": [], "digest": ""}
    record = {"config": {"optimizer": {"name": optimizer["name"]}}, "dataset": dataset}
    (folder / "config.json").write_text(json.dumps(record))
    return find_origin(str(folder)), session.model.optimizer


@pytest.mark.parametrize(
    ("there", "here", "words", "steps"),
    [
        ({"name": "Adam"}, {"name": "adam"}, "with the optimizer's state", 3),
        ({"name": "adam"}, {"name": "adam", "schedule": "CosineDecay"}, "steps from 0", 0),
        ({"name": "adam"}, {"name": "sgd"}, "starts from scratch (it was adam, now sgd)", 0),
        ({"name": "adam"}, {"name": "adam", "args": {"amsgrad": True}}, "has another format", 0),
    ],
    ids=["same", "schedule", "another", "another-form"],
)
def test_an_optimizer_s_moments_are_taken_where_it_is_the_same_one(
    tmp_path, there, here, words, steps
):
    """And never its rate, which is what a new run is started for. After three gradients of 1 the
    first moment is 1 - 0.9^3.
    """
    origin, _ = state_of(tmp_path, learning_rate=0.5, **there)
    session = one_layer(learning_rate=0.25, **here)
    assert words in take_optimizer(session, origin)
    optimizer = session.model.optimizer
    assert int(optimizer.iterations.read_value()) == steps
    assert current_rate(optimizer) == 0.25
    taken = words.startswith("with") or "steps from" in words
    if hasattr(optimizer, "_momentums"):
        moment = optimizer._momentums[0].numpy()
        np.testing.assert_allclose(moment, (1 - 0.9**3) * taken, rtol=1e-5)


def test_after_a_divergence_there_is_a_command_to_copy(tmp_path, source):
    config = classes(optimizer__learning_rate=0.5)
    said = after_divergence(str(source), "DATA", config)
    assert "The state of step 6, before it, is kept" in said
    assert said.endswith(
        f"  python -m trainer train --config={source} --data=DATA --workdir={source}-2 "
        f"--from={source} --config.optimizer.learning_rate=0.05"
    )
    nothing = after_divergence(str(tmp_path / "my run"), "DATA", config)
    assert "Nothing was saved" in nothing and "--from" not in nothing
    assert f"'--workdir={tmp_path}/my run'" in nothing


def damaged(run, kind):
    for path in (run / "checkpoints" / kind).glob("step-*/state.index"):
        path.write_bytes(b"nonsense")


def test_where_the_last_state_is_damaged_the_best_is_offered(
    source, class_data, tmp_path, train_here
):
    run = shutil.copytree(source, tmp_path / "run")
    damaged(run, LAST)
    with pytest.raises(DataError, match=rf"is intact: .*--from={run}@best --workdir=NEW"):
        train_here(classes(epochs=3), class_data, run)
    with pytest.raises(DataError, match="is intact: give --checkpoint=best"):
        open_run(str(run), LAST, lambda _: None)
    damaged(run, BEST)
    with pytest.raises(DataError, match="cannot be restored") as caught:
        open_run(str(run), LAST, lambda _: None)
    assert "--checkpoint" not in str(caught.value)


def test_a_state_that_is_dropped_while_it_is_read_gives_way_to_the_newest(
    source, tmp_path, monkeypatch
):
    """As a training drops it that goes on meanwhile."""
    run = shutil.copytree(source, tmp_path / "run")
    restore = Checkpoints.restore
    seen = []

    def slow(self, path, session):
        seen.append(path)
        if len(seen) == 1:
            path.rename(path.with_name("step-00000099-epoch-00009"))
        return restore(self, path, session)

    monkeypatch.setattr(Checkpoints, "restore", slow)
    open_run(str(run), LAST, lambda _: None)
    assert seen[1].name == "step-00000099-epoch-00009"


def test_a_run_goes_on_with_its_variants_where_others_were_added(
    tmp_path, class_data, train_here, monkeypatch
):
    """Two variants of three are used, then all: with the manifest of two, then that of three, it
    reads the same files. A file that it reads and that changed is refused.
    """
    whole = Manifest.load(class_data)

    def with_variants(count, **changed):
        splits = {
            name: dict_of(split, variants=min(count, split.variants), shards=tuple(
                dict_of(shard, **changed) for shard in split.shards if shard.variant < count
            ))
            for name, split in whole.splits.items()
        }  # fmt: skip
        return dict_of(whole, splits=splits, variants=count, digest=str(count) * 64)

    def dict_of(record, **changes):
        from dataclasses import replace

        return replace(record, **changes)

    config = classes(data__variants=0)
    record = {"digest": "2" * 64, **what_it_reads(config.data, with_variants(2))}
    assert record["variants"] == 2
    assert digest_for(record, config.data, with_variants(2)) == "2" * 64
    assert digest_for(record, config.data, with_variants(3)) == "2" * 64
    assert digest_for(record, config.data, with_variants(3, sha256="0" * 64)) == "3" * 64
    assert (
        digest_for({"digest": "2" * 64}, config.data, with_variants(3)) == "3" * 64
    )  # of old runs

    from trainer.data import sets

    run = tmp_path / "run"
    monkeypatch.setattr(sets, "load_manifest", lambda _: with_variants(2))
    train_here(classes(data__variants=0, epochs=1), class_data, run)
    monkeypatch.setattr(sets, "load_manifest", lambda _: with_variants(3))
    said = train_here(config, class_data, run)["said"]
    assert "the dataset has more variants now; this run keeps using its 2" in said
    stored = json.loads((run / "config.json").read_text())
    assert stored["dataset"]["variants"] == 2 and stored["config"]["data"]["variants"] == 0


def test_an_early_stop_says_what_it_was_and_goes_on_with_more_patience(
    class_data, tmp_path, train_here
):
    """No epoch improves by 100, so a patience of 1 ends it after the second; the first is best.
    More epochs alone change nothing.
    """

    def stopping(patience, epochs):
        return classes(
            epochs=epochs, early_stopping__patience=patience, early_stopping__min_delta=100.0
        )  # fmt: skip

    run = tmp_path / "run"
    report = train_here(stopping(1, 5), class_data, run)
    expected = (
        "early: after epoch 2 of 5, as val_accuracy has not improved since epoch 1 "
        "(early_stopping.patience=1)"
    )
    assert report["stopped"] == expected
    way_on = "run the same command with a higher --config.early_stopping.patience (0 = off)"
    assert any(line.startswith(f"stopped {expected}") and way_on in line for line in report["said"])
    again = train_here(stopping(1, 6), class_data, run)
    assert again["epochs"] == 2
    assert any(line.startswith(f"this run stopped {expected}") for line in again["said"])
    more = train_here(stopping(2, 6), class_data, run)
    assert more["epochs"] == 3
    assert train_here(stopping(0, 4), class_data, run)["epochs"] == 4
