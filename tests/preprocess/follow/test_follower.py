"""The variants that a follower adds: their bytes, what stays as it was, and what it refuses."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from preprocess import storage
from preprocess.build.publish import remove_leftovers
from preprocess.engines import beam_job
from preprocess.examine.verify import verify
from preprocess.follow import base_watch, follower
from preprocess.follow.base_watch import BaseWatch
from preprocess.follow.follower import FollowRequest, follow
from preprocess.follow.live_store import LiveStore
from preprocess.follow.run_position import NOT_BEGUN, RunPosition
from preprocess.follow.worker_count import worker_count
from preprocess.live_format import (
    FollowerState,
    LiveVariant,
    base_digest,
    live_manifest_file,
)
from preprocess.shell.errors import ConfigError, DataError, UsageError
from tests import forked
from tests.preprocess import made

PICTURES = {"shards": 3, "encoding": "png", "recipe": "photos"}
FINISHED = RunPosition(ended="finished")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return made.class_folders(tmp_path_factory.mktemp("pictures"), count=6)


@pytest.fixture(scope="module")
def five(tmp_path_factory, pictures):
    """The dataset in five variants, by `build`."""
    output = tmp_path_factory.mktemp("five") / "data"
    made.built("folders", output, images=pictures, variants=5, **PICTURES)
    return output


@pytest.fixture
def two(tmp_path, pictures):
    """The same in two variants."""
    made.built("folders", tmp_path / "data", images=pictures, variants=2, **PICTURES)
    return tmp_path / "data"


def followed(monkeypatch, data, *positions, **changes):
    """Follows a run that is at these positions, one look after the other; what it said."""
    looks = iter([*positions, FINISHED])
    monkeypatch.setattr(follower, "RunWatch", lambda run: SimpleNamespace(look=looks.__next__))
    monkeypatch.setattr(follower, "POLL_SECONDS", 0.0)
    values = {"ahead": 1, "keep": 2, "recipe": "", "workers": 1} | changes
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        follow(FollowRequest(str(data), "run", **values))
    return said.getvalue()


def live_shards(data, variant):
    """The content of a live variant's files, by their names in the dataset."""
    manifest = LiveVariant.from_json((data / live_manifest_file(variant)).read_text())
    return {s.file.removeprefix("live/"): (data / s.file).read_bytes() for s in manifest.shards}


def variants(data):
    return sorted(int(path.stem[-5:]) for path in (data / "live").glob("variant-*.json"))


def test_a_live_variant_has_the_bytes_that_a_build_with_more_variants_gives(monkeypatch, two, five):
    followed(monkeypatch, two, *[RunPosition(3)] * 2)
    assert variants(two) == [3, 4]
    for variant in (3, 4):
        files = live_shards(two, variant)
        assert len(files) == 3
        assert files == {file: (five / file).read_bytes() for file in files}
        for file in files:
            index = file.replace(".tfrecord", ".index")
            assert (two / "live" / index).read_bytes() == (five / index).read_bytes()


def test_the_dataset_itself_stays_as_it_is(monkeypatch, two):
    before = made.files(two)
    followed(monkeypatch, two, RunPosition(2))
    after = made.files(two)
    assert {name: after[name] for name in before} == before
    assert verify(str(two), True, lambda: None) == []


def test_variants_that_are_done_with_go_and_the_last_pass_is_the_end(monkeypatch, two):
    """keep 2, ahead 1, last pass 5: at pass 5 there are 4 and 5."""
    positions = [RunPosition(at, 5) for at in (2, 2, 3, 4, 5, 5)]
    followed(monkeypatch, two, *positions)
    assert variants(two) == [4, 5]
    assert sorted(path.name for path in (two / "live" / "train").iterdir()) == [
        "variant-04",
        "variant-05",
    ]


def test_a_follower_that_was_killed_begins_where_it_was(monkeypatch, two, five):
    """Killed after the first of three shards: the others are built, and nothing twice."""
    real = beam_job.run_live
    asked = []

    def killed(dataset, shards, *rest):
        real(dataset, shards[:1], *rest)
        raise KeyboardInterrupt

    def noted(dataset, shards, *rest):
        asked.append(list(shards))
        real(dataset, shards, *rest)

    monkeypatch.setattr(beam_job, "run_live", killed)
    with pytest.raises(KeyboardInterrupt):
        followed(monkeypatch, two, RunPosition(2, 2))
    assert variants(two) == []
    torn = two / "live" / "train" / "variant-02" / "images-00001-of-00003.tfrecord.tmp-1-2"
    torn.write_bytes(b"half of it")
    monkeypatch.setattr(beam_job, "run_live", noted)
    followed(monkeypatch, two, RunPosition(2, 2))
    assert asked == [["train-images-00001", "train-images-00002"]]
    assert not torn.exists()
    files = live_shards(two, 2)
    assert files == {file: (five / file).read_bytes() for file in files}
    state = FollowerState.from_json((two / "live" / "follower.json").read_text())
    assert (state.built, state.seconds) == (1, 0.0)  # a part of a variant is no measurement


def test_what_it_says_of_itself_has_its_rate(monkeypatch, two):
    followed(monkeypatch, two, RunPosition(2), workers=8)
    state = FollowerState.from_json((two / "live" / "follower.json").read_text())
    assert state.workers == 3  # as many as there are shards
    assert state.built == 1
    assert state.seconds > 0


def state_of(data):
    return FollowerState.from_json((data / "live" / "follower.json").read_text())


def test_the_rate_outlives_a_restart_with_as_many_workers(monkeypatch, two):
    followed(monkeypatch, two, RunPosition(2, 2))
    measured = state_of(two).seconds
    assert measured > 0
    followed(monkeypatch, two)
    assert (state_of(two).seconds, state_of(two).built) == (measured, 0)
    followed(monkeypatch, two, workers=2)
    assert state_of(two).seconds == 0.0


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_a_variant_whose_manifest_cannot_be_read_is_built_again(monkeypatch, two, five, text):
    followed(monkeypatch, two, RunPosition(2, 2))
    (two / "live" / "variant-00002.json").write_text(text)
    (two / "live" / "variant-7.json").write_text("{}")  # no variant by its name
    followed(monkeypatch, two, RunPosition(2, 2))
    files = live_shards(two, 2)
    assert files == {file: (five / file).read_bytes() for file in files}


def test_a_run_that_stands_still_costs_no_reading(monkeypatch, two):
    """Neither the manifest is parsed nor the tree listed again; a variant that goes is built."""
    followed(monkeypatch, two, *[RunPosition(2, 2)] * 2)
    read, listed, real = [], [], storage.tree
    monkeypatch.setattr(base_watch, "load_manifest", lambda data: read.append(data))
    monkeypatch.setattr(base_watch, "base_digest", lambda _: state_of(two).base)
    monkeypatch.setattr(storage, "tree", lambda folder: listed.append(folder) or real(folder))
    followed(monkeypatch, two, *[RunPosition(2, 2)] * 2)
    once = len(listed)
    followed(monkeypatch, two, *[RunPosition(2, 2)] * 9)
    assert len(listed) == 2 * once
    assert len(read) == 2
    monkeypatch.undo()
    shutil.rmtree(two / "live" / "train")
    (two / "live" / "variant-00002.json").unlink()
    followed(monkeypatch, two, *[RunPosition(2, 2)] * 2)
    assert variants(two) == [2]


def test_a_dataset_that_cannot_be_read_for_a_moment_is_waited_for(monkeypatch, two):
    watch = BaseWatch(str(two), base_digest(made.manifest(two)))
    monkeypatch.setattr(base_watch, "POLL_SECONDS", 0.0)
    real, looks = storage.stat, iter([OSError(116, "stale"), FileNotFoundError("gone")])

    def stat(path):
        for error in looks:
            raise error
        return real(path)

    monkeypatch.setattr(storage, "stat", stat)
    watch.check()
    monkeypatch.setattr(base_watch, "GONE_SECONDS", 0.0)
    (two / "dataset.json").unlink()
    with pytest.raises(DataError, match="is gone"):
        watch.check()


def test_a_dataset_that_was_rebuilt_ends_it(two):
    with pytest.raises(DataError, match="was rebuilt since this follower started"):
        BaseWatch(str(two), "0" * 64).check()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", 3),
        ("--parallelism=16", 16),
        ("--parallelism 16", 16),
        ("--runner=DataflowRunner --num_workers 4 --max_num_workers=9", 4),
        ("--max_num_workers=9", 9),
        ("--direct_num_workers=0 --direct_running_mode multi_processing", 3),
        ("--parallelism=many --job_name 7", 3),
        ("--parallelism", 3),
    ],
)
def test_the_workers_that_its_rate_is_of(arguments, expected):
    assert worker_count(3, arguments.split()) == expected


def test_a_dataset_of_the_originals_takes_its_recipe_from_the_command(
    monkeypatch, tmp_path, pictures, five
):
    data = tmp_path / "data"
    options = {name: value for name, value in PICTURES.items() if name != "recipe"}
    made.built("folders", data, images=pictures, variants=1, **options)
    with pytest.raises(UsageError, match="no recipe: set --recipe"):
        followed(monkeypatch, data, RunPosition(1))
    command = [sys.executable, "-m", "preprocess", "follow", "--run=run", str(data), "--check"]
    for flags, code, message in (
        ([], 64, "no recipe: set --recipe"),
        (["--recipe=fotos"], 78, "did you mean 'photos'?"),
        (["--recipe=photos"], 0, ""),
    ):
        done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
        assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert not (data / "live").exists()
    followed(monkeypatch, data, RunPosition(1, 1), recipe="photos")
    files = live_shards(data, 1)
    assert files == {file: (five / file).read_bytes() for file in files}
    with pytest.raises(ConfigError, match="variants by other means"):
        followed(monkeypatch, data, RunPosition(2), recipe="faces")


def test_another_recipe_than_the_datasets_is_refused(monkeypatch, two):
    with pytest.raises(ConfigError, match=r"not the recipe that .* was built by"):
        followed(monkeypatch, two, RunPosition(2), recipe="faces")


def test_pictures_that_have_changed_are_refused(monkeypatch, tmp_path):
    pictures = made.class_folders(tmp_path / "pictures", count=4)
    made.built("folders", tmp_path / "data", images=pictures, variants=2, **PICTURES)
    made.save(next((pictures / "train").rglob("*.jpg")), 77)
    with pytest.raises(DataError, match=r"are not those that .* was built from"):
        followed(monkeypatch, tmp_path / "data", RunPosition(2))
    assert variants(tmp_path / "data") == []


def test_a_copy_without_the_build_folder_is_refused(monkeypatch, tmp_path, five):
    shutil.copytree(five, tmp_path / "copy", ignore=shutil.ignore_patterns(".build"))
    with pytest.raises(ConfigError, match="give the directory that `preprocess build` wrote"):
        followed(monkeypatch, tmp_path / "copy", RunPosition(5))


def test_variants_of_another_dataset_are_removed(monkeypatch, tmp_path, two):
    followed(monkeypatch, two, RunPosition(2))
    pictures = made.class_folders(tmp_path / "others", ("owl", "fox"), count=5)
    made.built("folders", two, images=pictures, variants=2, overwrite=True, **PICTURES)
    assert variants(two) == [2]  # a build leaves them to the next follower
    assert "its variants were of another dataset" in followed(monkeypatch, two)
    assert variants(two) == []


@pytest.mark.parametrize("change", ["missing", "torn", "base", "recipe", "seed", "libraries"])
def test_variants_of_this_dataset_stay_where_it_is_not_known_how_they_were_made(
    monkeypatch, two, change
):
    followed(monkeypatch, two, RunPosition(2, 2))
    state = two / "live" / "follower.json"
    if change == "missing":
        state.unlink()
    elif change == "torn":
        state.write_text(state.read_text()[:-9])
    else:
        said = json.loads(state.read_text())
        del said[change]  # as a version that lacks it would have written the file
        state.write_text(json.dumps(said))
    before = made.files(two)
    with pytest.raises(ConfigError, match="does not say how the variants next to it were made"):
        followed(monkeypatch, two, RunPosition(2, 2))
    assert made.files(two) == before


def test_variants_stay_in_use_where_a_later_version_said_more_of_its_follower(monkeypatch, two):
    """What decides the pixels is in the recipe, the seed and the libraries alone."""
    followed(monkeypatch, two, RunPosition(2, 2))
    state = two / "live" / "follower.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "more": 1}))
    before = (two / "live" / "variant-00002.json").stat().st_mtime_ns
    followed(monkeypatch, two, RunPosition(2, 2))
    assert variants(two) == [2]
    assert (two / "live" / "variant-00002.json").stat().st_mtime_ns == before
    assert "more" not in json.loads(state.read_text())


def test_nothing_is_removed_while_the_position_of_the_run_is_not_known(monkeypatch, two):
    followed(monkeypatch, two, *[RunPosition(5)] * 2)
    assert variants(two) == [5, 6]
    said = followed(monkeypatch, two, None, NOT_BEGUN, NOT_BEGUN, None)
    assert variants(two) == [5, 6]
    assert said.count("there are variants [5, 6] of a run that has") == 1


def test_a_run_that_has_not_begun_has_its_first_variants_built(monkeypatch, two):
    followed(monkeypatch, two, NOT_BEGUN, ahead=2)
    assert variants(two) == [2]


def test_a_dataset_with_a_split_live_is_refused(monkeypatch, two):
    manifest = json.loads((two / "dataset.json").read_text())
    manifest["splits"]["live"] = manifest["splits"]["train"]
    (two / "dataset.json").write_text(json.dumps(manifest))
    before = made.files(two)
    with pytest.raises(ConfigError, match="has a split 'live'"):
        followed(monkeypatch, two, RunPosition(2))
    assert made.files(two) == before


def test_files_in_other_folders_called_live_are_leftovers_of_a_build(two):
    listed = made.files(two)
    for file in ("train/live/x.tfrecord", "train/.build/x.index", "live/train/x.tfrecord"):
        (two / file).parent.mkdir(parents=True)
        (two / file).write_text("")
    remove_leftovers(str(two), made.manifest(two))
    assert made.files(two) == {**listed, "live/train/x.tfrecord": b""}


@pytest.mark.parametrize("link", ["live", "live/train", "live/train/variant-07", "live/.build"])
def test_nothing_is_removed_through_a_link(tmp_path, link):
    outside, data = tmp_path / "outside", tmp_path / "data"
    for folder in ("train/variant-07", "variant-07", "."):
        (outside / folder).mkdir(parents=True, exist_ok=True)
        (outside / folder / "x.tmp-1").write_text("")
    (data / link).parent.mkdir(parents=True)
    (data / link).symlink_to(outside)
    before = made.files(outside)
    store = LiveStore(str(data), 2)
    for remove in (store.remove_torn, store.clear, lambda: store.remove(7)):
        with pytest.raises(ConfigError, match="is a link"):
            remove()
    assert made.files(outside) == before


def test_a_variant_of_the_dataset_itself_is_no_live_one(tmp_path):
    (tmp_path / "live" / "train" / "variant-01").mkdir(parents=True)
    (tmp_path / "live" / "train" / "variant-01" / "file").write_text("")
    (tmp_path / "live" / "variant-00000.json").write_text("")
    store = LiveStore(str(tmp_path), 2)
    assert (store.there(), store.started()) == (set(), set())
    with pytest.raises(ValueError, match="in the dataset itself"):
        store.remove(1)


def test_a_variant_that_cannot_be_removed_ends_the_follower(tmp_path, monkeypatch):
    (tmp_path / "live" / "train" / "variant-03").mkdir(parents=True)
    (tmp_path / "live" / "train" / "variant-03" / "file").write_text("")
    monkeypatch.setattr("preprocess.storage.remove_tree", lambda folder: None)
    with pytest.raises(ConfigError, match="cannot be removed"):
        LiveStore(str(tmp_path), 2).remove(3)


def test_one_follower_or_build_at_a_time(monkeypatch, two, pictures):
    with follower._alone(str(two)):
        with pytest.raises(UsageError, match="another follower or build is writing to"):
            followed(monkeypatch, two)
        with pytest.raises(UsageError, match="another build is writing to"):
            made.built("folders", two, images=pictures, variants=2, **PICTURES)


def test_the_command_ends_when_the_run_has(two, tmp_path):
    """An end that was there before does not count, until it is written again."""
    progress = tmp_path / "run" / "progress.json"
    progress.parent.mkdir()
    progress.write_text('{"pass": 4, "last_pass": 3, "ended": "failed"}')
    with forked.Popen(
        made.command("follow", str(two), f"--run={progress.parent}", "--json"),
        cwd=made.ROOT,
        env=made.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert "following" in process.stderr.readline()
        progress.write_text('{"pass": 4, "ended": "finished"}')
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["run"] == "finished"
    assert "the run has finished" in stderr


def test_an_argument_too_many_is_refused(tmp_path):
    done = made.run("follow", str(tmp_path), "more", f"--run={tmp_path}")
    assert done.returncode == 64
    assert "unexpected argument 'more'" in done.stderr
    assert not Path("more").exists()
