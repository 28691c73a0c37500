"""A run directory that takes no more: the state is kept in another place, which is named."""

import contextlib
import errno
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf

from preprocess.shell.errors import OutputError
from preprocess.shell.exit_codes import ExitCode
from tests.trainer import datasets
from tests.trainer.training.test_loop import rows, triplet
from trainer.training import kept_elsewhere
from trainer.training.checkpoints import BEST, LAST, Checkpoints
from trainer.training.loop import Loop
from trainer.training.starting_from import find_origin
from trainer.workers.worker_log import WorkerLog

DISK_BYTES = 128 << 20  # some states of 4 MB, and what else a run writes


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own in memory."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    yield path
    subprocess.run(["umount", "--lazy", "--recursive", str(path)], check=True)


@pytest.fixture(autouse=True)
def state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def fill(run):
    """Not a byte is left, for anybody."""
    with contextlib.suppress(OSError), open(run.parent / "others", "ab", buffering=0) as file:
        while file.write(bytes(1 << 16)):
            pass
    with contextlib.suppress(OSError), open(run.parent / "others", "ab", buffering=0) as file:
        while file.write(b"\0"):
            pass
    with pytest.raises(OSError, match="No space left"):
        (run.parent / "more").write_bytes(bytes(8192))


def make_read_only(run):
    """As another mount over it: files of the run are open for writing, which forbids the disk's."""
    for words in (["--bind", str(run), str(run)], ["-o", "remount,ro,bind", str(run)]):
        subprocess.run(["mount", *words], check=True)
    with pytest.raises(OSError, match="Read-only"):
        (run / "more").touch()


def remove(run):
    shutil.rmtree(run)


def take_states_away(run):
    shutil.rmtree(run / "checkpoints" / "last")
    (run / "checkpoints" / "last").write_text("")


def before_epoch(monkeypatch, epoch, spoil):
    """`spoil` is done once the steps of an epoch, from 1, are about to be trained."""
    run_steps, pending = Loop._run_steps, [spoil]

    def spoiling(self):
        if self.epochs == epoch - 1 and pending:
            self._saver.hand_over(wait=True)  # the state of the epoch before is on the disk
            pending.pop()(self.run.directory.path)
        run_steps(self)

    monkeypatch.setattr(Loop, "_run_steps", spoiling)


def kept(folder):
    (place,) = (folder / "kept-states").iterdir()
    return place


@pytest.mark.parametrize("spoil", [fill, make_read_only, remove, take_states_away])
def test_the_state_of_the_epoch_is_kept_where_the_run_directory_takes_no_more(
    triplet_data, disk, state_folder, train_here, monkeypatch, spoil
):
    """Spoilt within epoch 2 of 4, of two steps each."""
    run = disk / "run"
    config = triplet(epochs=4, steps_per_epoch=2)
    before_epoch(monkeypatch, 2, spoil)
    with pytest.raises(OutputError) as caught:
        train_here(config, triplet_data, run)
    assert caught.value.exit_code == ExitCode.STORAGE == 74
    message, command = str(caught.value).split("\n  ")
    place = kept(state_folder)
    assert f"The state of step 4 is kept in '{place}'" in message
    assert f"--from={place}" in command and "--config.epochs=2" in command
    origin = find_origin(str(place))
    assert origin.step == 4 and origin.config["epochs"] == 4
    assert not list(Path(place).rglob("tmp-*"))
    if spoil in (fill, make_read_only):
        assert "run the same command, which resumes from step" in message
    else:
        assert "same command" not in message
    assert run.exists() == (spoil is not remove)


def test_the_command_that_is_printed_trains_the_epochs_that_are_left(
    triplet_data, disk, state_folder, train_here, monkeypatch
):
    """By the real command, with the weights of the kept state: those of a run left alone after
    four steps.
    """
    before_epoch(monkeypatch, 2, fill)
    with pytest.raises(OutputError) as caught:
        train_here(triplet(epochs=3, steps_per_epoch=2), triplet_data, disk / "run")
    calm = train_here(triplet(epochs=2, steps_per_epoch=2), triplet_data, disk.parent / "calm")
    assert calm["steps"] == 4
    weights = [
        {name: tf.train.load_variable(str(path / "state"), name) for name, _ in names}
        for path in (
            find_origin(str(kept(state_folder))).state,
            Checkpoints(disk.parent / "calm" / "checkpoints").states(LAST)[0],
        )
        for names in [tf.train.list_variables(str(path / "state"))]
    ]
    for name in weights[1]:
        if name.startswith("model/") and "OPTIMIZER" not in name:
            assert (weights[0][name] == weights[1][name]).all(), name
    (disk / "others").unlink()
    words = shlex.split(str(caught.value).split("\n")[1])
    done = datasets.command(*words[2:])
    assert done.returncode == 0, done.stderr
    (workdir,) = [word.partition("=")[2] for word in words if word.startswith("--workdir=")]
    assert [row["epoch"] for row in rows(workdir)] == [1]
    assert "starting from step 4" in done.stderr


def test_a_state_is_kept_elsewhere_whichever_file_is_refused(
    triplet_data, tmp_path, state_folder, train_here, monkeypatch
):
    """The row of an epoch, and the best state: the epoch's state is in neither, and is kept."""
    config = triplet(epochs=3, steps_per_epoch=2)

    def refuse_rows(run):
        (run / "metrics.jsonl").unlink()
        (run / "metrics.jsonl").mkdir()

    def refuse_best(run):
        shutil.rmtree(run / "checkpoints" / BEST)
        (run / "checkpoints" / BEST).write_text("")

    for name, spoil in (("rows", refuse_rows), ("best", refuse_best)):
        with monkeypatch.context() as patch:
            before_epoch(patch, 2, spoil)
            patch.setattr("trainer.training.callbacks.Callbacks.better", lambda *_: True)
            with pytest.raises(OutputError, match="The state of step 4 is kept"):
                train_here(config, triplet_data, tmp_path / name)
    places = {place.name.rpartition("-")[0] for place in (state_folder / "kept-states").iterdir()}
    assert places == {"rows", "best"}


def test_the_temporary_folder_is_taken_where_the_state_folder_takes_no_more_either(
    triplet_data, disk, train_here, monkeypatch, tmp_path
):
    monkeypatch.setenv("SHARDLINE_STATE", str(disk / "state"))
    monkeypatch.setattr(kept_elsewhere.tempfile, "tempdir", str(tmp_path))
    before_epoch(monkeypatch, 2, fill)
    with pytest.raises(OutputError, match="The state of step 4 is kept") as caught:
        train_here(triplet(epochs=3, steps_per_epoch=2), triplet_data, disk / "run")
    (place,) = tmp_path.glob("kept-states-*")
    assert f"'{place}'" in str(caught.value)
    assert find_origin(str(place)).step == 4


def test_a_finished_training_is_kept_to_be_evaluated(
    triplet_data, disk, state_folder, train_here, monkeypatch
):
    before_epoch(monkeypatch, 2, make_read_only)
    with pytest.raises(OutputError) as caught:
        train_here(triplet(epochs=2, steps_per_epoch=2), triplet_data, disk / "run")
    command = str(caught.value).split("\n")[1]
    assert command.split()[:4] == ["python", "-m", "trainer", "evaluate"]
    done = datasets.command(*shlex.split(command)[2:])
    assert done.returncode == 0, done.stderr


def test_a_log_on_a_full_disk_ends_nothing(disk):
    said = []
    with WorkerLog(disk / "run" / "logs", 0, said.append) as log:
        log.say("before")
        fill(disk / "run")
        for number in range(2000):  # more than the room that its last page has
            log.say(f"line {number}")
        log.stacks()
    assert len(said) == 2001
    assert "before" in log.path.read_text()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "RUN/plots/a.png"), "read-only"),
        (OSError(errno.ENOENT, os.strerror(errno.ENOENT), "RUN/report.json"), "no such file"),
        (tf.errors.FailedPreconditionError(None, None, "x; Read-only file system"), "read-only"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "no space left"),
        (OSError(errno.EACCES, os.strerror(errno.EACCES), "elsewhere/shard"), None),
        (tf.errors.InternalError(None, None, "a kernel failed"), None),
    ],
)
def test_what_cannot_be_written_in_a_report_is_no_fault_of_the_program(error, words):
    """In a run directory, and not what is read from elsewhere."""
    found = kept_elsewhere.as_user_error(error, "RUN", several=False)
    assert (found is None) == (words is None)
    if found is not None:
        assert found.exit_code == 74 and words in str(found) and "same command" in str(found)
