"""If a run directory can no longer be written, its last state is saved to another place.

    STATE/kept-states/NAME-DIGEST/{config.json, checkpoints/last/step-...}

STATE is this user's state folder, or a new folder in the temporary one if that cannot be written
either. The folder is a run directory for `--from` and `evaluate`; a later state of the same run
replaces an earlier one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf

from preprocess.shell.errors import OutputError, UserError, full_disk
from preprocess.shell.json_text import JsonObject
from preprocess.shell.tensorflow_text import error_reason
from preprocess.shell.user_state import state_folder
from trainer.config.training_stages import stages_left
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.replica_values import differs_by_replica
from trainer.training.run_directory import RunDirectory
from trainer.training.state_files import StateFiles
from trainer.training.training_run import Run
from trainer.workers.worker_group import lost_peer

_FOLDER = "kept-states"


class RunRefusesState(Exception):
    """The run directory could not be written; `__cause__` has the reason.

    Attributes:
      state: the JSON part of the state that was to be saved.
      files: the copy of the rest; None if it is what the session has now.
    """

    def __init__(self, state: JsonObject, files: StateFiles | None) -> None:
        super().__init__("the run directory cannot be written")
        self.state = state
        self.files = files

    def close(self) -> None:
        """Gives back the memory of the copy."""
        if self.files:
            self.files.close()


@contextlib.contextmanager
def writing(
    run: Run, unsaved: Callable[[], tuple[JsonObject, StateFiles | None]]
) -> Iterator[None]:
    """Wraps what writes to the run directory; `unsaved` gives what RunRefusesState has.

    Raises:
      RunRefusesState: it could not be written.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if run.workers.size > 1 and lost_peer(error):
            raise
        raise RunRefusesState(*unsaved()) from error


def kept_elsewhere(run: Run, record: JsonObject, refused: RunRefusesState) -> OutputError:
    """Saves the state elsewhere; the error says where it is and how to continue.

    Args:
      run: whose directory cannot be written.
      record: the content of its config.json.
      refused: with the state.
    """
    why = _reason(refused.__cause__)
    given = str(run.directory.path)
    if not run.workers.chief:
        return OutputError(f"{why}: this worker's part of a state in '{given}'")
    states = run.checkpoints.states(LAST) if run.directory.config_file.is_file() else []
    way_back = "make room" if full_disk(refused.__cause__ or refused) else "repair that"
    if states:
        step = int(states[0].name.split("-")[1])
        way_back += f" and run the same command, which resumes from step {step}"
    step = refused.state["step"]
    copy = refused.files
    if copy is None and run.workers.size > 1 and differs_by_replica(run.session.model):
        # Reading them is a collective, and the other workers do not take part in it.
        return OutputError(f"{why}: '{given}', so the state of step {step} is lost; {way_back}")
    for place in _places(run.directory.path):
        kept = RunDirectory(str(place))
        try:
            kept.path.mkdir(parents=True, exist_ok=True)
            kept.write_config(record)
            checkpoints = Checkpoints(kept.checkpoints)
            checkpoints.drop_torn()
            if copy:
                checkpoints.save_copy(LAST, copy, refused.state)
            else:
                checkpoints.save(LAST, run.session, refused.state)
        except (OSError, tf.errors.OpError):
            continue
        return OutputError(
            f"{why}: '{given}'. The state of step {step} is kept in '{kept.path}': {way_back}, or "
            f"continue from it:\n  {_command(run, kept, refused.state)}"
        )
    return OutputError(
        f"{why}: '{given}', and the state of step {step} could not be saved elsewhere; {way_back}"
    )


def as_user_error(error: Exception, workdir: str, several: bool) -> UserError | None:
    """The user's error that one of the system or of TensorFlow stands for, if any; `several` is
    whether there are other workers.
    """
    if reason := full_disk(error):
        mend = "make room"
    elif reason := _refused(error, workdir):
        mend = "repair that"
    else:
        return lost_peer(error) if several else None
    return OutputError(
        f"{reason}: '{workdir}'; {mend} and run the same command: it resumes from the last "
        "saved state"
    )


def _refused(error: Exception, workdir: str) -> str:
    """Why the system would not have something written below a run directory; "" otherwise."""
    below = os.path.join(os.path.abspath(workdir), "")
    if isinstance(error, OSError):
        path = str(error.filename or "")
        inside = path and os.path.abspath(path).startswith(below)
        return (error.strerror or "").lower() if inside else ""
    read_only = os.strerror(errno.EROFS)
    return read_only.lower() if read_only in str(error) else ""


def _reason(error: BaseException | None) -> str:
    if error is None:
        return "not written"
    named = full_disk(error) or getattr(error, "strerror", None) or error_reason(error)
    return (named or type(error).__name__).lower()


def _places(run: Path) -> Iterator[Path]:
    path = run.absolute()
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    yield state_folder().absolute() / _FOLDER / f"{path.name}-{digest}"
    with contextlib.suppress(OSError):
        yield Path(tempfile.mkdtemp(prefix=f"{_FOLDER}-"))


def _command(run: Run, kept: RunDirectory, state: JsonObject) -> str:
    """The command that trains the remaining epochs, or evaluates if there are none."""
    data = [f"--data={each.path}" for each in run.sets]
    left = run.config.epochs - state["epochs"]
    if left <= 0 or state["stopped"]:
        return shlex.join(
            ["python", "-m", "trainer", "evaluate", f"--workdir={kept.path}", data[0]]
        )
    target = str(run.directory.path)
    number = next(n for n in itertools.count(2) if not os.path.lexists(f"{target}-{n}"))
    stages = stages_left(run.config, state["epochs"])
    return shlex.join(
        [
            *("python", "-m", "trainer", "train", f"--config={kept.path}", *data),
            *(f"--workdir={target}-{number}", f"--from={kept.path}"),
            f"--config.epochs={left}",
            *([f"--config.stages={stages}"] if stages else ()),
        ]
    )
