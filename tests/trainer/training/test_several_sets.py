"""A training on several sets: what a batch has of each, exact resume, any number of replicas."""

import json
import re
import signal

import numpy as np
import pytest

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError
from tests.shared import shared_folder
from tests.trainer import datasets
from tests.trainer.kills import Kill, live
from tests.trainer.workers.double_precision import FLOAT32_DENSE
from tests.trainer.workers.test_workers import end, start
from trainer.config import with_values
from trainer.data.class_weights import with_class_weights
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_readers
from trainer.data.sets import open_sets, record_of_sets
from trainer.data.shares import Shares


@pytest.fixture(scope="session")
def other_classes(tmp_path_factory):
    """The same classes as class_data has: 14 training pictures of another size, two variants."""

    def make(root):
        pictures = datasets.write_folders(root / "pictures")
        for number in range(14, 21):
            for path in pictures.glob(f"train/*/{number:02d}.png"):
                path.unlink()
        flags = ("--variants=2", "--shards=2", "--encoding=png", "--image_size=20", "--seed=5")
        datasets.build(root / "other", "--source=folders", f"--images={pictures}", *flags)

    return str(shared_folder(tmp_path_factory, "other-classes", make) / "other")


@pytest.fixture(scope="session")
def other_triplets(tmp_path_factory):
    """Triplets as triplet_data has, half of them, in two variants."""

    def make(root):
        synth = datasets.synthesise
        synth(root / "synth", 40, 40, 0.45, 7, progress=False)
        flags = ("--image_size=32", "--variants=2", "--shards=1", "--encoding=png")
        datasets.triplets(root, *flags)

    return str(shared_folder(tmp_path_factory, "other-triplets", make) / "triplets")


def read(config, paths, steps, first=0, replicas=1, worker=(0, 1)):
    """Batches of a training, those of the replicas of a pipeline joined to one a step."""
    reader, _ = open_readers(config, open_sets(config, paths))
    part = ReplicaSlice(worker[0] * replicas, replicas, worker[1] * replicas)
    found = [
        {name: value.numpy() for name, value in batch.items()}
        for batch in reader.dataset(first, part, steps)
    ]
    return [
        {name: np.concatenate([each[name] for each in group]) for name in group[0]}
        for group in zip(*[iter(found)] * replicas, strict=True)
    ]


def same(one, other):
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])


def on_workers(config, paths, steps, first=0):
    """What two pipelines of one replica each read, joined."""
    parts = [read(config, paths, steps, first, worker=(rank, 2)) for rank in (0, 1)]
    return [
        {name: np.concatenate([one[name], other[name]]) for name in one}
        for one, other in zip(*parts, strict=True)
    ]


KINDS = {
    "streamed": (datasets.CLASSIFICATION, {}),
    "decoded": (datasets.CLASSIFICATION, {"data__image_table": "decoded"}),
    "triplets": (datasets.TRIPLET, {}),
    "encoded": (datasets.TRIPLET, {"data__image_table": "encoded"}),
    "first variants": (datasets.TRIPLET, {"data__variants": 1}),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_set_goes_through_its_passes_in_its_share(
    kind, class_data, other_classes, triplet_data, other_triplets
):
    """Of each set every record once a pass, also where a batch has records of two passes, as many
    a batch as the shares say; the same whatever the replicas, and from whatever step on.
    """
    base, changes = KINDS[kind]
    paths = [triplet_data, other_triplets]
    if base is datasets.CLASSIFICATION:
        paths = [class_data, other_classes]
    config = datasets.configuration(base, data__shares=(7, 3), **changes)
    sets = open_sets(config, paths)
    counts = [each.records(config.data.train_split) for each in sets]
    batches = read(config, paths, 24)
    shares, batch_size, seen = Shares([7, 3]), config.batch_size, [[], []]
    for step, batch in enumerate(batches):
        rows = np.arange(step * batch_size, (step + 1) * batch_size)
        of_second = batch["record"] >= counts[0]
        np.testing.assert_array_equal(of_second, shares.sets(rows) == 1)
        assert batch["row"].tolist() == list(range(batch_size))
        assert batch["share"].sum() == pytest.approx(1)
        assert batch["weight"].all()
        seen[0] += batch["record"][~of_second].tolist()
        seen[1] += (batch["record"][of_second] - counts[0]).tolist()
    for records, count in zip(seen, counts, strict=True):
        passes = [records[at : at + count] for at in range(0, len(records), count)]
        assert len(passes) > 1
        for each in passes[:-1]:
            assert sorted(each) == list(range(count))
        assert len(set(passes[-1])) == len(passes[-1])
        assert passes[0] != passes[1]
    same(read(config, paths, 24, replicas=2), batches)
    same(on_workers(config, paths, 24), batches)
    same(read(config, paths, 7, first=17), batches[17:])
    same(on_workers(config, paths, 7, first=17), batches[17:])


def test_pixels_and_targets_belong_to_their_record(class_data, other_classes):
    """As the sets' own readers have them; of two sizes, all are stretched to image_size."""
    config = datasets.configuration(datasets.CLASSIFICATION, data__shares=(1, 1), data__variants=1)
    paths, pictures, labels = [class_data, other_classes], {}, {}
    reader, validation = open_readers(config, open_sets(config, paths))
    assert list(validation) == ["test", "set2_test"]
    for batch in read(config, paths, 8):
        assert batch["image"].shape[1:] == (24, 24, 3)
        for record, image, label in zip(
            batch["record"].tolist(), batch["image"], batch["label"].tolist(), strict=True
        ):
            pictures[record], labels[record] = image, label
    some = sorted(pictures)[::5]
    for record, picture in zip(some, reader.pictures(some), strict=True):
        np.testing.assert_array_equal(picture, pictures[record])
    names = reader.ids()
    assert len(names) == reader.records == 35
    for record, label in labels.items():
        assert names[record][0].split("/")[-2] == datasets.CLASSES[label]
    assert reader.first_pictures(6).shape == (6, 24, 24, 3)
    assert reader.damage() is None


def test_balanced_weights_count_the_rows_that_are_trained_on(class_data, other_classes):
    """Shares of 3 to 1: 11 of 21 and 7 of 14 are bright, so 3/4 * 11/21 + 1/4 * 1/2 of all."""
    config = datasets.configuration(
        datasets.CLASSIFICATION, data__shares=(3, 1), loss__class_weights="balanced"
    )
    first, *further = open_sets(config, [class_data, other_classes])
    bright = 0.75 * 11 / 21 + 0.125
    found = with_class_weights(config, first.path, first.manifest, further).loss.class_weights
    expected = {"bright": 0.5 / bright, "dark": 0.5 / (1 - bright)}
    assert found == pytest.approx(expected)


def refused(config, paths):
    with pytest.raises(ConfigError) as caught:
        open_sets(config, paths)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_sets_that_do_not_agree_are_refused_in_a_line(class_data, digit_data, triplet_data):
    config = datasets.configuration(datasets.CLASSIFICATION)
    said = refused(config, [class_data, digit_data])
    assert "the classes of the sets differ" in said
    assert "bright, dark" in said
    assert "build both with the same class names" in said
    assert "task" in refused(config, [class_data, triplet_data])
    three = with_values(config, {"data.shares": (7, 2, 1)})
    assert "one share for each --data" in refused(three, [class_data, class_data])
    assert "--config.data.shares=" in refused(three, [class_data])
    none = with_values(config, {"data.shares": (1, 0)})
    assert "at least 1" in refused(none, [class_data, class_data])


def test_a_crop_has_to_fit_the_size_that_is_read(class_data, other_classes):
    """Sets of 24 and 20 pixels are stretched to image_size."""
    crop = {"augment__enabled": True, "augment__crop": 20, "image_size": 16}
    config = datasets.configuration({**datasets.CLASSIFICATION, "augment.enabled": True}, **crop)
    open_sets(config, [class_data])
    assert "crop" in refused(config, [class_data, other_classes])


@pytest.mark.parametrize("command", ["search", "evaluate"])
def test_a_command_for_one_set_refuses_several(command):
    words = {"search": ["--config=demo", "--space=fec_two_stage"], "evaluate": []}[command]
    done = datasets.command("trainer", command, "--data=a", "--data=b", "--workdir=c", *words)
    assert done.returncode == 64, done.stderr
    assert "--data is given 2 times" in done.stderr


def test_a_search_has_no_shares():
    """Nor does it begin to look for them in its one set."""
    words = ["--config=demo", "--space=fec_two_stage", "--workdir=c", "--config.data.shares=7,3"]
    done = datasets.command("trainer", "search", "--data=a", *words)
    assert done.returncode == 64, done.stderr
    assert "add --config.data.shares=" in done.stderr


def test_without_shares_the_records_decide_and_an_epoch_is_a_pass_of_all(class_data, other_classes):
    """21 and 14 records are 3 and 2 parts: 35 records in batches of 8 are 5 steps."""
    config = datasets.configuration(datasets.CLASSIFICATION)
    sets = open_sets(config, [class_data, other_classes])
    reader, _ = open_readers(config, sets)
    assert reader.shares.parts == [3, 2]
    assert reader.steps_per_pass == 5
    assert type(reader.steps_per_pass) is int  # JSON's
    record = record_of_sets(config, sets, {})
    assert record["shares"] == [3, 2]
    assert record["further"][0]["digest"] == Manifest.load(other_classes).digest


def flags(config, data, run, *more):
    words = ["train", f"--config={config}", *(f"--data={each}" for each in data)]
    return [*words, f"--workdir={run}", *more]


def report_of(run):
    return json.loads((run / "report.json").read_text())


def test_a_run_that_was_killed_ends_with_the_same_weights(class_data, other_classes, tmp_path):
    """By the command; on two replicas, killed after step 7 of 10, which is in the second epoch.

    One set left out, or their shares changed, it is refused.
    """
    config = datasets.write_config(
        tmp_path / "config.py",
        datasets.CLASSIFICATION,
        data__shares=(7, 3),
        data__log_records=True,
        deterministic=True,
        virtual_replicas=2,
        checkpoint__every_steps=2,
        steps_per_epoch=5,
    )
    data = [class_data, other_classes]
    code, said = live(flags(config, data, tmp_path / "whole"), tmp_path / "whole", None, 5)
    assert code == 0, said
    assert "set 2: 30.00% of each batch, of 14 records" in said
    whole, run = report_of(tmp_path / "whole"), tmp_path / "run"
    last = whole["metrics"]["last"]
    assert {"val_accuracy", "val_set2_test_accuracy"} <= last.keys()
    code, said = live(flags(config, data, run), run, Kill(7, signal.SIGKILL), 5)
    assert code == -signal.SIGKILL, said
    code, said = live(flags(config, data, run), run, None, 5)
    assert code == 0, said
    # That of the epoch's end is on the disk when the state of step 6 is copied; that of 6 may be.
    assert re.search("resuming at step [56] of 10", said)
    again = report_of(run)
    assert again["weights_digest"] == whole["weights_digest"]
    for key in ("loss", "val_loss", "val_set2_test_loss"):
        assert again["metrics"]["last"][key] == last[key]
    # Pictures of 20 pixels were stretched to 24, as those of the first set: `evaluate` does so.
    words = ["evaluate", f"--workdir={run}", f"--data={data[1]}", "--json"]
    done = datasets.command("trainer", *words)
    assert json.loads(done.stdout)["loss"] == pytest.approx(last["val_set2_test_loss"], rel=1e-5)
    for words, change in (
        (flags(config, data[:1], run, "--config.data.shares="), "number of --data (2 -> 1)"),
        (flags(config, [*data[:1], class_data], run), "digest of set 2 of --data"),
        (flags(config, data, run, "--config.data.shares=1,1"), "data.shares"),
    ):
        done = datasets.command("trainer", *words)
        assert done.returncode == 78
        assert change in done.stderr


@pytest.mark.slow
def test_two_workers_learn_what_two_replicas_do(triplet_data, other_triplets, train_here, tmp_path):
    changes = {"deterministic": True, "epochs": 1, "steps_per_epoch": 6, "data__shares": (5, 3)}
    changes["model__backbone"] = "mlp"
    config = datasets.write_config(tmp_path / "config.py", datasets.TRIPLET, **changes)
    data = [triplet_data, other_triplets]
    code, _, said = end(start(flags(config, data, tmp_path / "run", "--local_workers=2")))
    assert code == 0, said
    alone = datasets.configuration(datasets.TRIPLET, **changes)
    expected = train_here(alone, data, tmp_path / "alone", 2)["metrics"]["last"]
    found = report_of(tmp_path / "run")["metrics"]["last"]
    for key in ("loss", "val_loss", "val_set2_test_loss"):
        assert found[key] == pytest.approx(expected[key], rel=FLOAT32_DENSE)


@pytest.mark.parametrize("task", ["classes", "triplets"])
def test_any_number_of_replicas_learns_the_same(
    task, class_data, other_classes, triplet_data, other_triplets, train_here, tmp_path
):
    base, data = datasets.CLASSIFICATION, [class_data, other_classes]
    if task == "triplets":
        base, data = datasets.TRIPLET, [triplet_data, other_triplets]
    config = datasets.configuration(base, data__shares=(5, 3), epochs=1, data__variants=0)
    losses = []
    for replicas in (1, 2):
        report = train_here(config, data, tmp_path / str(replicas), replicas)
        losses.append([report["metrics"]["last"][key] for key in ("loss", "val_set2_test_loss")])
    assert losses[0] == pytest.approx(losses[1], rel=FLOAT32_DENSE)
