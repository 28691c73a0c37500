"""When a run saves: its last and its best state, and its end after a signal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

from preprocess.shell.json_text import JsonObject
from trainer.monitoring.timeline import Activity
from trainer.training.checkpoints import BEST, LAST, name_of
from trainer.training.kept_elsewhere import writing
from trainer.training.state_files import StateFiles
from trainer.training.state_writer import StateWriter
from trainer.training.training_run import Run


class Saver:
    """Saves the states of a run. All workers call the same methods at a step; those that write
    raise RunRefusesState if the run directory does not take it.

    Attributes:
      run: in its current stage.
      saved: the name of the last state, so that none is saved twice.
    """

    def __init__(self, run: Run, state: Callable[[], JsonObject]) -> None:
        """`state` gives the JSON part of a state, as it is now."""
        self.run = run
        self.saved = ""
        self._state = state
        self._writer = StateWriter(run.checkpoints, run.workers)
        self._raised = False

    def save(self, *, best: str = "", wait: bool = False) -> None:
        """Saves the last state; exits if any worker has received a signal.

        Args:
          best: the metric by which it is also the best state; "" = it is not.
          wait: whether it has to be on the disk now, not only during the next steps.
        """
        self.hand_over(best=best, last=True, wait=wait)
        number = self.run.signals.received
        if self.run.workers.any_worker(number is not None):
            self.hand_over(wait=True)
            name, step = number.name if number else "a signal to another worker", self._step
            self.run.say(f"{name}: saved at step {step}; the same command resumes there")
            sys.exit(self.run.signals.exit_code)

    def hand_over(self, *, best: str = "", last: bool = False, wait: bool = False) -> None:
        """Has the state written during the next steps: as the best, the last, both or none.

        With `wait`, nothing is unsaved afterwards.
        """
        self.run.monitors.watchdog.alive("saving", long=True)
        state = self._state()
        states = {BEST: {**state, "metric": best}} if best else {}
        if last and self.saved != name_of(state):
            states[LAST] = state
            self.saved = name_of(state)
        if not states and not self.failed() and not (wait and self._writer.busy):
            return
        timeline = self.run.monitors.timeline
        with self.writing():
            if states:
                self._wait()
                with timeline.during(Activity.SAVING):
                    self._writer.start(self.run.session, states)
            if wait or self.failed():
                self._wait()

    def _wait(self) -> None:
        if self._writer.busy:
            with self.run.monitors.timeline.during(Activity.WRITING):
                self._writer.wait()

    def failed(self) -> bool:
        """Whether a state could not be written, of which the next call says more."""
        return self._writer.failed

    def writing(self) -> AbstractContextManager[None]:
        """Around what writes to the run directory."""
        return writing(self.run, self._refused)

    def _refused(self) -> tuple[JsonObject, StateFiles | None]:
        """What could not be written, for RunRefusesState."""
        self._raised = True
        return self._writer.unsaved or (self._state(), None)

    def close(self) -> None:
        """Ends its thread when it has written what it can; says what has not been written, where
        nothing else has raised it.
        """
        self._writer.close()
        if (unsaved := self._writer.unsaved) and not self._raised:
            state, _ = unsaved
            self.run.say(
                f"warning: the state of step {state['step']} could not be written: "
                f"{self._writer.error}"
            )

    @property
    def _step(self) -> int:
        return int(self._state()["step"])
