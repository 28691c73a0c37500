"""A search in this process, its runs made up: sharing, dying, refusing, going on."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys

import pytest

from preprocess.dataset_format import TRIPLET, ImageFormat, Manifest, Split
from preprocess.shell.errors import ConfigError, DataError, StorageError, UsageError
from trainer.search import trial, worker
from trainer.search.claims import STALE_SECONDS, Claims, Owner, owner
from trainer.search.report import csv_text, result_of, table_text, write_result
from trainer.search.search_run import FAILED, FINISHED, RUNNING, Run, identity
from trainer.search.space import base_config, parse_space
from trainer.search.study import JOURNAL, Study
from trainer.search.trial import Outcome, Stopped
from trainer.search.worker import Interrupted, Request, search, take

GRID = """
set: {model.embedding_size: 16}
stages:
  - model.scale: [0.5, 1, 2]
  - model.embedding_size: [8, 16]
"""
SAMPLED = """
sampler: SAMPLER
search:
  model.scale: {low: 0.1, high: 10, log: true}
  model.embedding_size: {low: 8, high: 64, step: 8}
  optimizer.name: [adam, sgd]
"""
OF_NAMES = """
stages:
  - optimizer.name: [adam, sgd]
  - model.scale: [0.5, 1]
"""


@pytest.fixture
def request_of(tmp_path):
    """`request_of(space text, limit=0, repeats=1)`: a search of a dataset without pictures."""
    data = tmp_path / "data"
    data.mkdir()
    manifest = Manifest(
        task=TRIPLET,
        fingerprint="",
        digest="0" * 64,
        versions={},
        seed=0,
        variants=1,
        recipe="",
        image=ImageFormat("png", 95, 32, "stretch", 32, 32, 3),
        classes=(),
        splits={name: Split(3, 1, 1, ()) for name in ("train", "test")},
        rejected={"count": 0, "by_reason": {}},
    )
    (data / "dataset.json").write_text(manifest.to_json())

    def make(text, limit=0, repeats=1, overrides=()):
        space, config = base_config(parse_space(text, "space"), "demo", list(overrides))
        return Request(tmp_path / "search", str(data), space, config, repeats, limit, False)

    return make


def trained(monkeypatch, outcome):
    """Puts `outcome(params, repeat)` in place of training; returns the list of what was trained."""
    seen = []

    def train_run(flags, workdir, log, metric, beat):
        given = dict(flag.removeprefix("--config.").split("=", 1) for flag in flags[4:])
        seed = int(given.pop("seed"))
        params = {k: v if k == "optimizer.name" else float(v) for k, v in given.items()}
        seen.append((identity(params), seed))
        return outcome(params, seed)

    monkeypatch.setattr(worker, "train_run", train_run)
    return seen


def by_scale(params, repeat):
    return Outcome(params["model.scale"] + repeat / 100, seconds=1.0)


def study_of(request):
    request.folder.mkdir(exist_ok=True)
    return Study(request.folder, request.space, request.start, request.config.seed)


def quiet(message):
    del message


def test_a_grid_is_searched_stage_by_stage_and_never_twice(request_of, monkeypatch):
    request = request_of(GRID, repeats=2)
    seen = trained(monkeypatch, by_scale)
    runs = search(request, quiet)
    assert [run.state for run in runs] == [FINISHED] * 8  # 3 scales, then 8 numbers, each twice
    assert len(seen) == len(set(seen)) == 8
    assert all(run.params["model.scale"] == 2.0 for run in runs[6:])
    assert [run.value for run in runs[:4]] == [0.5, 1.0, 2.0, 0.51]
    search(request, quiet)
    assert len(seen) == 8
    more = search(dataclasses.replace(request, repeats=3), quiet)
    assert len(more) == 12 and len(seen) == 12


def test_a_limit_may_grow(request_of, monkeypatch):
    seen = trained(monkeypatch, by_scale)
    assert len(search(request_of(GRID, limit=2), quiet)) == 2
    assert len(search(request_of(GRID, limit=3), quiet)) == 3
    assert len(search(request_of(GRID), quiet)) == 4
    assert len(seen) == 4


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_sampled_values_stay_in_their_ranges_and_are_repeated(request_of, monkeypatch, sampler):
    request = request_of(SAMPLED.replace("SAMPLER", sampler), limit=12, repeats=2)
    trained(monkeypatch, by_scale)
    runs = search(request, quiet)
    assert [run.repeat for run in runs] == [0, 1] * 6
    points = {identity(run.params) for run in runs}
    assert len(points) == 6
    for run in runs:
        assert 0.1 <= run.params["model.scale"] <= 10
        assert run.params["model.embedding_size"] in range(8, 65, 8)
        assert type(run.params["model.embedding_size"]) is int


def test_a_diverged_run_has_failed_and_the_search_goes_on(request_of, monkeypatch):
    def outcome(params, repeat):
        if params["model.scale"] == 2.0:
            return Outcome(reason="diverged: the loss is not finite after step 3", diverged=True)
        return by_scale(params, repeat)

    request = request_of(GRID, repeats=2)
    seen = trained(monkeypatch, outcome)
    runs = search(request, quiet)
    assert [run.state for run in runs if run.params["model.scale"] == 2.0] == [FAILED]
    result = result_of(request.space, request.start, runs, 2)
    assert result["best"]["params"]["model.scale"] == 1.0
    search(request, quiet)
    assert len(seen) == 7  # 3 and 2 repeats of the scales, 2 of 8 numbers at the best


def test_a_refusal_before_anything_finished_ends_the_search_and_later_costs_its_run(
    request_of, monkeypatch
):
    def outcome(params, repeat):
        if params["model.scale"] == refused:
            return Outcome(reason="out of memory at batch_size=64; try 32", refused=ConfigError)
        return by_scale(params, repeat)

    request, refused = request_of(GRID), 0.5
    trained(monkeypatch, outcome)
    with pytest.raises(ConfigError, match=r"run 0: out of memory .*logs/000.log"):
        search(request, quiet)
    refused = 2.0
    runs = search(request, quiet)
    assert [run.state for run in runs] == [FINISHED, FINISHED, FAILED, FINISHED]


def test_a_damaged_dataset_ends_the_search(request_of, monkeypatch):
    trained(monkeypatch, lambda *_: Outcome(reason="a shard is damaged", refused=DataError))
    with pytest.raises(DataError, match="a shard is damaged"):
        search(request_of(GRID), quiet)


def test_processes_take_different_runs_and_that_of_a_dead_one_is_taken_over(request_of):
    request = request_of(GRID)
    study = study_of(request)
    me = owner(os.getpid())
    # The same machine and number, but started earlier: a process that is no more.
    owners = (Owner("another machine", 1, 5), me, dataclasses.replace(me, started=me.started - 1))
    elsewhere, here, dead = (Claims(request.folder / "claims", owner) for owner in owners)
    with study.locked():
        taken = [take(study, claims, request) for claims in (elsewhere, here, dead)]
    assert [run.number for run in taken] == [0, 1, 2]
    study = study_of(request)  # as a process does that starts now
    with study.locked():
        over = take(study, Claims(request.folder / "claims", me), request)
    assert over == taken[2]
    assert here.is_mine(over) and not dead.is_mine(over)


def test_a_claim_from_elsewhere_counts_until_it_is_old(tmp_path):
    run = Run(3, {}, 0, RUNNING)
    there = Claims(tmp_path / "claims", Owner("another machine", 1, 5))
    here = Claims(tmp_path / "claims", owner(os.getpid()))
    assert here.is_free(run)
    there.take(run)
    assert not here.is_free(run)
    file = tmp_path / "claims" / "003.json"
    long_ago = file.stat().st_mtime - STALE_SECONDS - 5
    os.utime(file, (long_ago, long_ago))
    assert here.is_free(run)
    there.renew(run)
    assert not here.is_free(run)
    here.take(run)
    there.release(run)
    assert here.is_mine(run)
    here.release(run)
    assert here.is_free(run)


def test_a_process_that_ended_is_known_at_once(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    claims = Claims(tmp_path / "claims", owner(process.pid))
    run = Run(0, {}, 0, RUNNING)
    claims.take(run)
    assert not claims.is_free(run)
    process.kill()
    process.wait()
    assert claims.is_free(run)


def test_a_signal_gives_the_run_up_and_the_next_search_goes_on_with_it(request_of, monkeypatch):
    seen = []

    def stopped(flags, workdir, log, metric, beat):
        seen.append(workdir.name)
        if len(seen) == 2:
            assert beat() == ""
            os.kill(os.getpid(), signal.SIGTERM)
            assert beat() == "save"
            raise Stopped
        return Outcome(0.5, seconds=1.0)

    monkeypatch.setattr(worker, "train_run", stopped)
    request = request_of(GRID)
    with pytest.raises(Interrupted) as end:
        search(request, quiet)
    assert end.value.number == signal.SIGTERM
    assert list((request.folder / "claims").iterdir()) == []
    search(request, quiet)
    assert seen == ["000", "001", "001", "002", "003"]


def test_a_journal_torn_by_a_kill_is_read_up_to_its_last_whole_line(request_of, monkeypatch):
    request = request_of(GRID, limit=2)
    trained(monkeypatch, by_scale)
    search(request, quiet)
    with open(request.folder / JOURNAL, "ab") as file:
        file.write(b'{"op_code":4,"worker_')
    runs = search(request_of(GRID), quiet)
    assert [run.state for run in runs] == [FINISHED] * 4


def test_another_space_configuration_or_folder_is_refused(request_of, monkeypatch):
    trained(monkeypatch, by_scale)
    search(request_of(GRID), quiet)
    with pytest.raises(ConfigError, match=r"batch_size \(32 -> 16\)"):
        search(request_of(GRID, overrides=[("batch_size", "16")]), quiet)
    with pytest.raises(ConfigError, match=r"space .*0\.5.* -> .*4\.0"):
        search(request_of(GRID.replace("0.5, 1, 2", "4, 1, 2")), quiet)
    request = request_of(GRID)
    (request.folder.parent / "other").mkdir()
    (request.folder.parent / "other" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        search(dataclasses.replace(request, folder=request.folder.parent / "other"), quiet)


def test_the_result_is_a_table_a_csv_a_picture_and_says_what_is_noise(request_of, monkeypatch):
    """Runs differ by 0.01 / sqrt(2); the scales by half at least: no other point is near."""
    request = request_of(GRID, repeats=2)
    trained(monkeypatch, by_scale)
    runs = search(request, quiet)
    result = result_of(request.space, request.start, runs, 2)
    assert json.loads(json.dumps(result)) == result
    assert result["best"]["params"]["model.scale"] == 2.0
    assert result["noise"]["deviation"] == pytest.approx(0.01 / 2**0.5)
    assert [point["within_noise"] for point in result["points"]].count(False) == 2
    assert "--config.model.scale=2.0" in result["best"]["flags"]
    text = table_text(result)
    assert text.splitlines()[1].startswith("*  2 ") and "within noise" in text
    rows = csv_text(result).splitlines()
    assert rows[0].startswith("number,model.scale,model.embedding_size,repeat,state,val_triplet")
    assert len(rows) == 9
    write_result(request.folder, result, request.space, request.start, runs, 2)
    assert (request.folder / "search.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((request.folder / "search.json").read_text())["complete"]


def test_points_of_a_stage_that_repeats_have_not_reached_again_stay_in_the_result(
    request_of, monkeypatch
):
    """3 scales and 8 numbers once; the limit then leaves room for one repeat of the first stage."""
    trained(monkeypatch, by_scale)
    search(request_of(GRID), quiet)
    request = request_of(GRID, limit=5, repeats=2)
    runs = search(request, quiet)
    result = result_of(request.space, request.start, runs, 2)
    assert [len(point["values"]) for point in result["points"]].count(2) == 1
    assert len(result["points"]) == 4 and not result["complete"]


def test_the_table_ends_with_how_the_curves_of_runs_correlate(request_of, monkeypatch):
    """Of [1, 2, 3] and [1, 3, 2] by 0.5; a search without curves says nothing of them."""
    request = request_of(GRID)
    trained(monkeypatch, by_scale)
    runs = search(request, quiet)
    curves = [dict(enumerate(values)) for values in ([1, 2, 3], [1, 3, 2])]
    result = result_of(request.space, request.start, runs, 1, curves)
    assert result["curves"]["metric"] == request.space.metric
    assert result["curves"]["all_epochs"]["range"] == pytest.approx([0.5, 0.5])
    last = table_text(result).splitlines()[-1]
    assert last.startswith(f"Curves of {request.space.metric}: 2 runs correlate over all epochs by")
    without = result_of(request.space, request.start, runs, 1)
    assert without["curves"]["runs"] == 0
    assert table_text(without).splitlines()[-1] == without["verdict"]


@pytest.mark.parametrize("text", [SAMPLED.replace("SAMPLER", "random"), OF_NAMES])
def test_ranges_names_and_no_runs_at_all_are_drawn_too(request_of, monkeypatch, text):
    request = request_of(text, limit=3)
    trained(monkeypatch, by_scale)
    for runs in (search(request, quiet), []):
        result = result_of(request.space, request.start, runs, 1)
        write_result(request.folder, result, request.space, request.start, runs, 1)
        assert result["verdict"] in table_text(result)


@pytest.mark.parametrize(
    ("codes", "words", "refused"),
    [
        ([70], "diverged: the last line", None),
        ([78], "the last line", ConfigError),
        ([65], "the last line", DataError),
        ([1, -9, 1], "ended with 1, 3 times: the last line", None),
        # Who was told to end, or lost a peer, is not counted.
        ([75, 1, 76, -15, -9, 75, 1], "ended with 1, 3 times: the last line", None),
        # A full disk may have room later; beyond the budget it is the search's own end.
        ([74, 1, 74], "the last line", StorageError),
    ],
)
def test_exit_codes_of_a_run_mean_what_they_mean_everywhere(
    tmp_path, monkeypatch, codes, words, refused
):
    log = tmp_path / "log"
    log.write_text("the first line\ntrainer train: the last line\n")
    left = iter(codes)
    monkeypatch.setattr(trial, "_wait", lambda *_: next(left))
    found = trial.train_run([], tmp_path / "run", log, "val_loss", lambda: "")
    assert (found.reason, found.refused) == (words, refused)
    assert next(left, None) is None


def test_a_run_that_fell_over_twice_still_counts_when_it_ends_well(tmp_path, monkeypatch):
    run = tmp_path / "run"
    (tmp_path / "log").write_text("x\n")
    codes = itertools.chain([1, 1, 0])

    def wait(*_):
        code = next(codes)
        if code == 0:
            run.mkdir()
            row = {"val_loss": 0.25, "val_loss_interval": None}
            (run / "report.json").write_text(json.dumps({"metrics": {"last": row}, "seconds": 2.5}))
        return code

    monkeypatch.setattr(trial, "_wait", wait)
    found = trial.train_run([], run, tmp_path / "log", "val_loss", lambda: "")
    assert (found.value, found.seconds, found.interval) == (0.25, 2.5, None)
    again = trial.train_run([], run, tmp_path / "log", "val_loss", lambda: "")
    assert again == found  # and no process was needed: `codes` has no more
