"""Every check at ok, at warning and at FAIL, and the words of its remedy."""

import math

import pytest

from trainer.preflight import checks, facts
from trainer.preflight.checks import FAIL, OK, WARNING
from trainer.preflight.preflight_run import exit_code

GPU = {
    "in_machine": 8,
    "visible": 8,
    "virtual_replicas": 0,
    "hidden": False,
    "capabilities": [8.0] * 8,
    "newest_built": 8.0,
    "precision": "mixed_bfloat16",
}


def gpus(**changes):
    return checks.gpus(**{**GPU, **changes})


@pytest.mark.parametrize(
    ("check", "status", "words"),
    [
        (checks.shards(8, 10**9, 4), OK, ["8 shards, 1 GB, for 4 workers"]),
        (checks.shards(3, 10**9, 4), WARNING, ["--shards=4"]),
        (checks.shards(2, 10 << 30, 1), WARNING, ["1 GiB", "--shards=12"]),
        (checks.batch(64, 8, 1000, True), OK, ["64 among 8 replicas, 8 each"]),
        (checks.batch(60, 8, 1000, True), FAIL, ["batch_size=56 or 64"]),
        (checks.batch(3, 8, 1000, True), FAIL, ["batch_size=8 or 16"]),
        (checks.batch(32, 8, 1000, True), WARNING, ["batch_size=64 or more"]),
        (checks.batch(32, 8, 1000, False), OK, []),
        (checks.batch(64, 2, 40, False), WARNING, ["40 records", "padding"]),
        (checks.shapes({"image": (8, 3, 32, 32, 3)}), OK, ["image [8,3,32,32,3]"]),
        (checks.shapes({"image": (8, None, None, 3)}), FAIL, ["[8,?,?,3]", "--image_size"]),
        # 100 records in 13 steps of 8; 26 steps are two passes.
        (checks.passes(100, 8, 0, 2, 1), OK, ["13 steps", "2 passes"]),
        (checks.passes(100, 8, 13, 2, 4), WARNING, ["2 of its 4 variants"]),
        (checks.passes(100, 8, 13, 4, 4), OK, []),
        (checks.passes(100, 8, 1, 1, 4), WARNING, ["1 of its 4 variants"]),
        (checks.pixels("-1..1", (-1, 1), (-1, 0.9), False), OK, ["-1 to 0.9", "-1..1"]),
        (checks.pixels("-1..1", (-1, 1), (-1, 0.9), True), WARNING, ["set explicitly"]),
        (checks.pixels("-1..1", (-1, 1), (-1, 1.2), False), FAIL, ["augment.brightness"]),
        (checks.pixels("0..1", (0, 1), (math.nan, 1), False), FAIL, []),
        # 0 to 1 stored as bytes: 1/255 of the range is used.
        (checks.pixels("0..255", (0, 255), (0, 1), False), FAIL, ["scaled twice"]),
        (gpus(), OK, ["8 visible of 8"]),
        (gpus(visible=0, capabilities=[]), FAIL, ["requirements-gpu.txt", "driver"]),
        (gpus(visible=4, capabilities=[8.0] * 4), WARNING, ["does not see"]),
        (gpus(visible=0, capabilities=[], hidden=True), WARNING, ["CUDA_VISIBLE_DEVICES"]),
        (gpus(virtual_replicas=2), WARNING, ["virtual_replicas=0"]),
        (gpus(virtual_replicas=2, in_machine=0, visible=0), OK, ["the CPU is asked for"]),
        (gpus(capabilities=[7.5] * 8), WARNING, ["bfloat16", "mixed_float16"]),
        (gpus(capabilities=[7.5] * 8, precision="float32"), OK, []),
        (gpus(capabilities=[9.0] * 8), WARNING, ["CUDA_CACHE_PATH"]),
        (gpus(capabilities=[8.6] * 8), OK, []),  # runs the kernels of 8.0
        (gpus(in_machine=0, visible=0, capabilities=[]), OK, ["0 visible of 0"]),
        (checks.gpu_memory([], False), OK, ["no GPU"]),
        (checks.gpu_memory([(5 * 10**8, 10**10)], False), OK, ["takes all that is free"]),
        (checks.gpu_memory([(2 * 10**9, 10**10)], False), WARNING, ["ALLOW_GROWTH=true in both"]),
        (checks.gpu_memory([(2 * 10**9, 10**10)], True), OK, ["2 GB of 10 GB", "as it is needed"]),
        (checks.memory([], 10**9), OK, ["no table"]),
        (checks.memory([("train", "decoded", 10**8)], 10**9), OK, ["100 MB of 1 GB"]),
        (checks.memory([("train", "encoded", 10**8)], 10**9), WARNING, ["at every use"]),
        (checks.hub("cnn", ""), OK, ["not needed by cnn"]),
        (checks.hub("hub:gs://x", ""), OK, ["hub:gs://x is there"]),
        (checks.hub("hub:gs://x", "take keras:..."), FAIL, ["hub:gs://x", "take keras"]),
        (checks.workdir("", "", "", False), OK, ["not given"]),
        (checks.workdir("run", "", "", False), OK, ["run, new"]),
        (checks.workdir("run", "", "", True), OK, ["run, resumes"]),
        (checks.workdir("run", "Permission denied", "", False), FAIL, ["Permission denied"]),
        (checks.workdir("run", "", "loss.delta (0.5 -> 0.4)", True), FAIL, ["loss.delta"]),
        # 4 states of 100 MB and a model of 50 MB.
        (checks.disk(10**8, 5 * 10**7, 1, 10**9), OK, ["450 MB", "1 GB free"]),
        (checks.disk(10**8, 5 * 10**7, 1, 5 * 10**8), WARNING, ["make room"]),
        (checks.disk(10**8, 5 * 10**7, 1, 4 * 10**8), FAIL, ["another disk"]),
        (checks.step([1.0, 0.5], True), OK, ["loss 1, 0.5"]),
        (checks.step([1.0, math.nan], True), FAIL, ["learning_rate", "float32"]),
        (checks.step([1.0, 1.0], False), FAIL, ["no weight moved", "model.trainable"]),
        # 200 steps of 0.1 s and 10 s of validation: half a minute; 10 of them.
        (checks.epoch_time(0.1, 0.001, 200, 10, 10), OK, ["30 s an epoch", "5 min 0 s", "100 ms"]),
        (checks.epoch_time(0.1, 0.03, 200, 10, 10), WARNING, ["30%", "diagnose"]),
    ],
)  # fmt: skip
def test_a_check_says_how_it_is_and_what_to_do(check, status, words):
    assert check.status == status, check
    text = f"{check.value} {check.advice}".replace("\N{NO-BREAK SPACE}", " ")
    for word in words:
        assert word in text
    assert bool(check.advice) == (status != OK)


def test_the_exit_code_is_that_of_bad_data_before_that_of_a_bad_configuration():
    fine, odd = checks.shards(8, 1, 1), checks.shards(1, 1, 2)
    configuration = checks.step([math.nan], True)
    data = checks.shapes({"image": (None,)})
    assert exit_code([fine, odd]) == 0
    assert exit_code([fine, configuration]) == 78
    assert exit_code([configuration, data]) == 65


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', 2),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}}', 3),
        ('{"cluster": {}}', 1),
    ],
)
def test_workers_are_counted_from_tf_config(text, count):
    assert facts.workers(text) == count


def test_a_run_directory_is_looked_at_and_left_alone(tmp_path):
    assert facts.write_problem(str(tmp_path / "a" / "b")) == ""
    assert not (tmp_path / "a").exists()
    (tmp_path / "notes.txt").write_text("mine")
    assert "not empty" in facts.write_problem(str(tmp_path))
    assert "is a file" in facts.write_problem(str(tmp_path / "notes.txt" / "run"))
    assert "is a file" in facts.write_problem(str(tmp_path / "notes.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert facts.existing_folder(str(tmp_path / "a" / "b")) == tmp_path
