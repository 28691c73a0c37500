"""Trainings with data.variants=live and their followers, by the real commands."""

import json
import math
import re
import signal

import pytest

from preprocess.shell.errors import ConfigError, RestartError
from preprocess.shell.exit_codes import ExitCode
from tests.trainer import datasets, kills, live_runs
from trainer.monitoring.timeline import Timeline
from trainer.training.progress import ProgressFile, failures_marked, mark_ended

pytestmark = pytest.mark.slow

PASSES, A_PASS = 6, 3
CONFIG = {
    "model.backbone": "cnn",
    "deterministic": True,
    "checkpoint.every_steps": 2,
    "data.log_records": True,
}
# An operation of a user's own that takes its time, and an end of a step that does.
SLOW_PICTURE = (
    "import time\n\n\ndef slow(image, rng):\n    time.sleep({seconds})\n    return image\n"
)
SLOW_RECIPE = (
    "version: 1\noperations: [{python: {probability: 1, function: slow.py:slow}}, "
    "{horizontal_flip: {probability: 0.5}}]\n"
)
SLOW_STEP = (
    "import time\n\n\nclass Slow:\n    def on_train_batch_end(self, batch, logs=None):\n"
    "        time.sleep({seconds})\n"
)


def flags_of(folder, data, run, **changes):
    values = {**datasets.CLASSIFICATION, **CONFIG, "epochs": PASSES, "data.variants": "live"}
    config = datasets.write_config(folder / f"{run.name}.py", values, **changes)
    return ["train", f"--config={config}", f"--data={data}", f"--workdir={run}"]


def test_a_trainer_and_a_follower_that_are_killed_end_with_the_same_weights(tmp_path):
    """Undisturbed is a run on a dataset that `build` gave all variants. The follower is killed when
    it has built its second variant, the trainer after step 10; both are started again.
    """
    whole = live_runs.class_data(tmp_path, PASSES, "whole")
    calm = tmp_path / "calm"
    code, said = kills.live(flags_of(tmp_path, whole, calm), calm, None, A_PASS)
    assert code == 0, said
    assert "waiting for variant" not in said  # all are stored

    data, run = (
        live_runs.class_data(
            tmp_path,
            1,
            "one",
        ),
        tmp_path / "run",
    )
    sizes = ("--workers=1", "--ahead=2", "--keep=2", "--recipe=photos")
    watch = live_runs.DiskWatch(data)
    watch.start()
    first = live_runs.follower(data, run, *sizes)
    killed = kills.Kill(10, signal.SIGKILL)
    trainer = live_runs.started(flags_of(tmp_path, data, run), run)
    try:
        kills.wait_for(lambda: len(watch.seen) >= 2)
        assert live_runs.kill(first, signal.SIGKILL) == -signal.SIGKILL
        with live_runs.following(data, run, *sizes) as second:
            moment = kills.Watch(run, A_PASS)
            kills.wait_for(lambda: moment.has_come(killed))
            assert live_runs.kill(trainer, signal.SIGKILL) == -signal.SIGKILL
            code, said = kills.live(flags_of(tmp_path, data, run), run, None, A_PASS)
            assert code == 0, said
            assert second.wait(300) == 0  # it ends with the run
    finally:
        watch.end()
        for process in (first, trainer):
            process.kill()
            process.wait()
    report = live_runs.report_of(run)
    assert report["weights_digest"] == live_runs.report_of(calm)["weights_digest"]
    assert "reused_variants" not in report
    assert json.loads((run / "live_variants.json").read_text())["libraries"]
    assert not (calm / "live_variants.json").exists()  # it has read none
    kills.check_records(run, PASSES * A_PASS, 21, 8)
    assert {int(name[-2:]) for name in watch.seen} == set(range(1, PASSES))
    assert watch.most <= 2 + 2
    progress = json.loads((run / "progress.json").read_text())
    assert progress["ended"] == "finished"
    verified = datasets.command("preprocess", "verify", data)
    assert (verified.returncode, verified.stdout) == (0, "ok\n")


def test_a_follower_at_half_the_needed_speed_is_named_with_how_many_workers_would_do(tmp_path):
    """A pass is 3 steps of 0.8 s. 21 pictures of t s by 2 workers take 21 t / 2, and 4.8 s are
    twice too long: t = 0.457. A busy machine makes both longer, so the workers are computed from
    what the verdict says was measured: 12 shards are 6 rounds, of which some fit into a pass.
    """
    seconds = 0.8
    (tmp_path / "slow.py").write_text(SLOW_PICTURE.format(seconds=4 * A_PASS * seconds / 21))
    (tmp_path / "slow_recipe.yaml").write_text(SLOW_RECIPE)
    (tmp_path / "step.py").write_text(SLOW_STEP.format(seconds=seconds))
    data = live_runs.class_data(tmp_path, 1, "data", "--shards=12")
    run = tmp_path / "run"
    flags = flags_of(
        tmp_path,
        data,
        run,
        callbacks=(f"{tmp_path / 'step.py'}:Slow",),
        data__validation_splits=(),
        checkpoint__every_steps=0,
    )
    sizes = ("--workers=2", f"--recipe={tmp_path / 'slow_recipe.yaml'}")
    with live_runs.following(data, run, *sizes):
        code, said = kills.live(flags, run, None, A_PASS)
    assert code == 0, said
    assert "waiting for variant" in said
    assert "' is at work (2 worker(s)" in said
    bottleneck = live_runs.report_of(run)["bottleneck"]
    assert bottleneck["kind"] == "input"
    assert "waiting for the next variant from `preprocess follow`" in bottleneck["verdict"]
    rates = re.search(
        r"a variant in ([\d.]+) s with 2 worker\(s\), and a pass takes ([\d.]+) s",
        bottleneck["verdict"],
    )
    assert rates, bottleneck["verdict"]
    a_variant, a_pass = map(float, rates.groups())
    # A sleep may be shorter by a little; starting workers and reading take the rest.
    assert a_variant > 4.7 and a_pass > 2.3
    advice = bottleneck["advice"][0]
    assert advice.startswith("give `preprocess follow` ")
    workers = int(advice.partition(" in all")[0].rpartition(" ")[2])
    # The verdict's figures are rounded to three digits.
    near = {math.ceil(12 / (1.02 * rounded * a_pass * 6 // a_variant)) for rounded in (0.99, 1.01)}
    assert workers in near, (advice, bottleneck["verdict"])


def test_with_reuse_a_run_without_a_follower_ends_and_says_what_it_reused(tmp_path):
    """Variants 0 and 1 are stored: passes 2 to 5 read 1 again."""
    data, run = live_runs.class_data(tmp_path, 2, "data"), tmp_path / "run"
    flags = flags_of(tmp_path, data, run, data__on_late="reuse", deterministic=False)
    code, said = kills.live(flags, run, None, A_PASS)
    assert code == 0, said
    reused = [{"pass": number, "variant": 1} for number in range(2, PASSES)]
    assert live_runs.report_of(run)["reused_variants"] == reused
    assert "warning: variant 2 is late: pass 2 reads variant 1 again" in said
    lines = (run / "reused_variants.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == reused  # and none that was only read ahead
    assert json.loads((run / "progress.json").read_text())["variant"] == 1


def test_a_signal_ends_a_run_that_waits_for_a_variant(tmp_path):
    """Without a follower, pass 1 has no variant: it says so, and how to start one."""
    data, run = live_runs.class_data(tmp_path, 1, "data"), tmp_path / "run"
    trainer = live_runs.started(flags_of(tmp_path, data, run), run)
    said = run.with_suffix(".stderr")
    try:
        kills.wait_for(lambda: "waiting for variant 1" in said.read_text())
        assert live_runs.kill(trainer, signal.SIGTERM) == ExitCode.SAVED
    finally:
        trainer.kill()
        trainer.wait()
    text = said.read_text()
    assert f"no follower: start `python -m preprocess follow {data} --run={run}`" in text
    assert f"saved at step {A_PASS}" in text
    progress = json.loads((run / "progress.json").read_text())
    assert (progress["pass"], progress["last_pass"]) == (1, PASSES - 1)
    assert "ended" not in progress


def test_the_first_step_of_a_pass_is_recorded_at_once(tmp_path):
    """Within the second in which nothing else is."""
    file = ProgressFile(tmp_path / "progress.json", 12, 3, lambda of_pass: 10 + of_pass)
    for step in (1, 2, 3, 4):
        file.update(step, 1, 0.5)
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert (progress["step"], progress["pass"], progress["last_pass"]) == (3, 1, 3)
    assert progress["variant"] == 11


def test_only_what_no_restart_mends_is_marked_as_the_end(tmp_path):
    path, timeline = tmp_path / "progress.json", Timeline(None)

    def fail(error):
        with pytest.raises(type(error)), failures_marked(path, lambda: timeline.has_stepped):
            raise error

    fail(ConfigError("before the run has begun"))
    assert not path.exists()
    ProgressFile(path, 12, 3).update(1, 1, 0.5)
    timeline.stepped(1)  # where it resumes
    fail(ConfigError("before a step"))
    timeline.stepped(2)
    fail(RestartError(""))
    assert "ended" not in json.loads(path.read_text())
    fail(ConfigError(""))
    assert json.loads(path.read_text())["ended"] == "failed"
    mark_ended(path, "finished")
    assert json.loads(path.read_text())["ended"] == "finished"


def test_a_run_that_is_started_again_is_no_longer_ended_before_anything_is_built(tmp_path):
    """The refusal of another batch size comes long before the first step."""
    data, run = live_runs.class_data(tmp_path, 1, "data"), tmp_path / "run"
    config = datasets.write_config(tmp_path / "run.py", datasets.CLASSIFICATION, epochs=1)
    flags = ["train", f"--config={config}", f"--data={data}", f"--workdir={run}"]
    assert datasets.command("trainer", *flags).returncode == 0
    path = run / "progress.json"
    before = json.loads(path.read_text())
    assert before.pop("ended") == "finished"
    refused = datasets.command("trainer", *flags, "--config.batch_size=4")
    assert refused.returncode == ExitCode.CONFIG, refused.stderr
    assert json.loads(path.read_text()) == before


def test_a_copy_of_the_dataset_is_refused_as_no_variants_come_to_it(tmp_path):
    flags = flags_of(tmp_path, "gs://bucket/data", tmp_path / "run")
    refused = datasets.command("trainer", *flags, f"--stage_to={tmp_path / 'copy'}")
    assert refused.returncode == ExitCode.USAGE
    assert "the variants come to the dataset and not to its copy" in refused.stderr
    assert refused.stderr.count("\n") == 1
