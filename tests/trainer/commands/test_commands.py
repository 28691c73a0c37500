"""The trainer's commands as a user runs them: exit codes, JSON, words, and no noise."""

import csv
import json
import os
import shutil
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from preprocess.dataset_format import Manifest
from tests.trainer import datasets

pytestmark = pytest.mark.slow


def evaluated(*flags):
    done = datasets.command("trainer", "evaluate", *flags, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)  # raises where there is more than one object


def refused(code, *arguments, **environment):
    """The one line that a command was refused with."""
    done = datasets.command("trainer", *arguments, **environment)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    return lines[0]


def last_row(run):
    return json.loads((Path(run) / "metrics.jsonl").read_text().splitlines()[-1])


def test_evaluate_prints_one_object_with_the_figures_of_the_last_epoch(class_runs, class_data):
    found = evaluated(f"--workdir={class_runs[0]}", f"--data={class_data}")
    row = last_row(class_runs[0])
    assert found["split"] == "test" and found["counted"] == 10
    assert found["loss"] == pytest.approx(row["val_loss"], rel=1e-5)
    assert found["accuracy"] == row["val_accuracy"]
    assert found["interval"] == pytest.approx(row["val_accuracy_interval"])
    assert [row["class"] for row in found["report"]["per_class"]] == ["bright", "dark"]
    assert {"top_k_accuracy", "auc"} <= found["report"].keys()


def test_evaluate_averages_runs_and_augmentations(class_runs, class_data):
    both = evaluated(
        f"--workdir={','.join(class_runs)}",
        f"--data={class_data}",
        "--average=probabilities",
        "--tta=2",
    )
    assert both["runs"] == class_runs
    assert 0 <= both["interval"][0] <= both["accuracy"] <= both["interval"][1] <= 1


def test_evaluate_measures_halves_and_compares_the_curves_of_runs(class_runs, class_data):
    """The counts of the halves are those of the split. Two epochs are too few for a correlation."""
    flags = (f"--workdir={','.join(class_runs)}", f"--data={class_data}")
    found = evaluated(*flags, "--halves")
    halves = found["halves"]
    assert halves["by"] == "hash" and halves["metric"] == "accuracy"
    right = sum(halves[half]["accuracy"] * halves[half]["counted"] for half in "ab")
    assert halves["a"]["counted"] + halves["b"]["counted"] == 10
    assert right == pytest.approx(found["accuracy"] * 10)
    assert [row["run"] for row in halves["runs"]] == class_runs
    assert halves["chosen"]["run"] in class_runs
    assert found["curves"]["metric"] == "val_accuracy" and found["curves"]["runs"] == 2
    assert found["curves"]["all_epochs"] == {"median": None, "range": None, "undefined": 1}
    done = datasets.command("trainer", "evaluate", flags[0], flags[1], "--halves_by=order")
    assert done.returncode == 0, done.stderr
    assert "halves by order: accuracy a " in done.stdout and " of 5, b " in done.stdout
    assert "best on half a: " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("curves of val_accuracy: 2 runs have no")
    assert not {"halves", "curves"} & evaluated(f"--workdir={class_runs[0]}", flags[1]).keys()


def test_evaluate_writes_a_row_for_each_record(class_runs, class_data, tmp_path):
    """Whatever the size of a batch: 10 records in batches of 8, and of 3."""
    output = tmp_path / "rows.csv"
    flags = (f"--workdir={class_runs[0]}", f"--data={class_data}", f"--output={output}")
    found = evaluated(*flags, "--batch_size=3")
    assert found["output"] == str(output)
    assert found["loss"] == pytest.approx(last_row(class_runs[0])["val_loss"], rel=1e-5)
    with open(output, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["id"] for row in rows}) == 10
    for row in rows:
        assert row["true_class"] == Path(row["id"]).parent.name
        shares = {name: float(row[f"p_{name}"]) for name in datasets.CLASSES}
        assert row["class"] == max(shares, key=lambda name: shares[name])
        # Cross-entropy, of probabilities with six digits.
        assert float(row["loss"]) == pytest.approx(-np.log(shares[row["true_class"]]), abs=1e-3)
    right = sum(row["class"] == row["true_class"] for row in rows)
    assert right == found["accuracy"] * 10
    line = refused(os.EX_USAGE, "evaluate", *flags[:2], f"--output={tmp_path}/no/rows.csv")
    assert f"--output='{tmp_path}/no/rows.csv'" in line


def test_evaluate_prints_a_line_with_the_interval_and_one_a_class(class_runs, class_data):
    done = datasets.command(
        "trainer", "evaluate", f"--workdir={class_runs[0]}", f"--data={class_data}"
    )
    first, *others = done.stdout.splitlines()
    assert "95 % interval [" in first and "10 counted" in first
    assert first.endswith("of the last state")
    assert [line.split()[0] for line in others] == ["bright", "dark"]


def test_evaluate_triplets_names_the_best_state_and_the_chance(triplet_run, triplet_data):
    found = evaluated(f"--workdir={triplet_run}", f"--data={triplet_data}", "--checkpoint=best")
    rows = [
        json.loads(line) for line in (Path(triplet_run) / "metrics.jsonl").read_text().splitlines()
    ]
    best = min(rows, key=lambda row: row["val_loss"])
    assert found["checkpoint"] == "best"
    assert found["loss"] == pytest.approx(best["val_loss"], rel=1e-5)
    assert found["triplet_accuracy"] == best["val_triplet_accuracy"]
    card = found["report_card"]
    for name, value in (("counted", found["counted"]), ("interval", found["interval"])):
        assert card["overall"][name] == value
    assert card["overall"]["counted"] + card["without_majority"] == 27
    assert sum(row["counted"] for row in card["by_type"]) == found["counted"]


def test_a_split_that_is_not_there_is_refused_with_those_that_are(triplet_run, triplet_data):
    line = refused(
        os.EX_DATAERR,
        "evaluate",
        f"--workdir={triplet_run}",
        f"--data={triplet_data}",
        "--split=valid",
    )
    assert "no split 'valid'" in line
    assert "train" in line and "test" in line


def test_runs_that_do_not_fit_are_refused(triplet_run, class_runs, class_data):
    line = refused(
        os.EX_DATAERR,
        "evaluate",
        f"--workdir={class_runs[0]},{triplet_run}",
        f"--data={class_data}",
    )
    assert triplet_run in line and "task" in line
    line = refused(os.EX_DATAERR, "evaluate", f"--workdir={triplet_run}", f"--data={class_data}")
    assert "task=triplet" in line


def test_what_is_no_run_and_no_dataset_is_refused(triplet_run, triplet_data, tmp_path):
    line = refused(os.EX_DATAERR, "evaluate", f"--workdir={tmp_path}", f"--data={triplet_data}")
    assert str(tmp_path) in line and "not a run directory" in line
    line = refused(os.EX_DATAERR, "evaluate", f"--workdir={triplet_run}", f"--data={tmp_path}")
    assert str(tmp_path) in line and "dataset.json" in line


def predictions(*flags, output):
    done = datasets.command("trainer", "predict", *flags, f"--output={output}", "--json")
    assert done.returncode == 0, done.stderr
    with open(output, encoding="utf-8", newline="") as file:
        return json.loads(done.stdout), list(csv.DictReader(file))


def test_predict_gives_a_probability_a_class_and_an_error_a_broken_file(class_runs, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    datasets.picture(True, 1, (50, 30)).save(folder / "a.png")
    datasets.picture(False, 2).convert("L").save(folder / "b.jpg")
    (folder / "c.png").write_bytes(b"no picture")
    (folder / "d.txt").write_text("not meant")
    result, rows = predictions(
        f"--workdir={class_runs[0]}", f"--images={folder}", output=tmp_path / "out.csv"
    )
    assert result == {"rows": 3, "errors": 1, "output": str(tmp_path / "out.csv")}
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b.jpg", "c.png"]
    for row in rows[:2]:
        shares = {name: float(row[f"p_{name}"]) for name in datasets.CLASSES}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert row["class"] == max(shares, key=lambda name: shares[name])
        assert row["error"] == ""
    assert rows[2]["error"] and not rows[2]["class"]


def test_predict_of_nothing_that_can_be_read_ends_with_65_and_a_reason(class_runs, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"no picture")
    flags = [f"--workdir={class_runs[0]}", f"--images={tmp_path / 'pictures'}"]
    done = datasets.command("trainer", "predict", *flags, f"--output={tmp_path / 'out.csv'}")
    assert done.returncode == 65
    assert "none of 1 rows could be predicted" in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_names_the_odd_one_and_an_error_where_a_picture_is_missing(
    triplet_run, triplet_data, tmp_path
):
    folder = Path(triplet_data).parent / "synth" / "images_cropped"
    faces = sorted(path.stem for path in folder.iterdir())[:3]
    table = tmp_path / "triplets.csv"
    table.write_text(f"face1,face2,face3\n{','.join(faces)}\n{faces[0]},nobody,{faces[1]}\n")
    result, rows = predictions(
        f"--workdir={triplet_run}",
        f"--csv={table}",
        f"--images={folder}",
        output=tmp_path / "out.csv",
    )
    assert (result["rows"], result["errors"]) == (2, 1)
    distances = {name: float(rows[0][f"distance{name}"]) for name in ("12", "13", "23")}
    # The closest pair leaves the odd one.
    odd = {"12": "face3", "13": "face2", "23": "face1"}[min(distances, key=distances.get)]
    assert rows[0]["odd_one"] == odd and rows[0]["error"] == ""
    assert "nobody" in rows[1]["error"] and rows[1]["odd_one"] == ""


def train_flags(tmp_path, data, base=datasets.TRIPLET, **changes):
    config = datasets.write_config(tmp_path / "config.py", base, **changes)
    return ["train", f"--config={config}", f"--data={data}", f"--workdir={tmp_path / 'run'}"]


def test_digits_are_learned_by_the_command_on_one_grey_channel(digit_data, tmp_path):
    """Ten bars in ten places: 40 steps are plenty. Nothing of TensorFlow's on stderr."""
    done = datasets.command(
        "trainer",
        "train",
        "--config=mnist_mlp",
        f"--data={digit_data}",
        f"--workdir={tmp_path / 'run'}",
        "--config.epochs=2",
        "--config.steps_per_epoch=20",
        "--config.batch_size=25",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["steps"] == 40
    assert report["metrics"]["last"]["val_accuracy"] == 1.0
    assert len(report["classification"]["per_class"]) == 10
    lines = done.stderr.splitlines()
    assert len(lines) == 5 and lines[0].startswith("mlp on 1 replica (CPU): 50 records, 2 steps")
    assert lines[1].startswith("train: 0 5, 1 5") and lines[2].startswith("test: 0 2, 1 2")
    assert all(line.startswith("epoch ") for line in lines[3:])


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_a_damaged_shard_ends_a_training_with_65_and_one_line(triplet_data, tmp_path, how):
    copy = shutil.copytree(triplet_data, tmp_path / "data")
    shard = copy / Manifest.load(copy).split("train").image_shards(1)[0].file
    if how == "missing":
        shard.unlink()
    else:
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
    done = datasets.command("trainer", *train_flags(tmp_path, copy))
    assert done.returncode == os.EX_DATAERR, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("trainer train: ")
    assert str(copy) in done.stderr


def test_a_batch_that_does_not_divide_is_refused_with_one_that_does(triplet_data, tmp_path):
    flags = train_flags(tmp_path, triplet_data)
    line = refused(os.EX_CONFIG, *flags, "--config.virtual_replicas=3")
    assert "batch_size 8" in line and "9" in line


@pytest.mark.parametrize("text", ["{", "[]", '{"task": 5}'])
def test_a_tf_config_that_cannot_be_read_is_refused(triplet_data, tmp_path, text):
    line = refused(os.EX_CONFIG, *train_flags(tmp_path, triplet_data), TF_CONFIG=text)
    assert "TF_CONFIG" in line and text in line


def test_a_hub_module_on_disk_trains_by_the_command(triplet_data, tmp_path):
    datasets.hub_module(tmp_path / "module")
    flags = train_flags(
        tmp_path, triplet_data, model__backbone=f"hub:{tmp_path / 'module'}", epochs=1
    )
    done = datasets.command("trainer", *flags, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["steps"] == 5
    assert np.isfinite(report["metrics"]["last"]["loss"])


def test_a_hub_server_that_never_answers_ends_with_78_in_time(triplet_data, tmp_path):
    """10 s for the server, the rest is the start of Python and TensorFlow."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        handle = f"hub:http://127.0.0.1:{silent.getsockname()[1]}/module"
        flags = train_flags(tmp_path, triplet_data, model__backbone=handle)
        started = time.monotonic()
        line = refused(os.EX_CONFIG, *flags, no_proxy="127.0.0.1", TFHUB_CACHE_DIR=str(tmp_path))
    assert time.monotonic() - started < 90
    assert handle in line and "keras:EfficientNetV2B0" in line
