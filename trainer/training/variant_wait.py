"""Waiting at the start of a pass for the variant that it reads (data.variants=live)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from preprocess.shell.errors import ConfigError
from trainer.data.live import LiveVariants
from trainer.monitoring.timeline import Activity
from trainer.training.training_run import StepRun

LOOK_SECONDS = 5.0  # between two looks at the follower and the dataset
AGAIN_SECONDS = 300.0  # after which a wait is logged again


class VariantWait:
    """Waits in the training's own thread, where a signal is seen and the time is accounted for.

    All workers call before() at the same steps, and wait until each of them sees the variant.
    """

    def __init__(self, run: StepRun, steps_a_call: int) -> None:
        """Raises ConfigError if a call would need the variants of more than two passes."""
        self._run, self._a_pass = run, run.reader.steps_per_pass
        self._live = live = run.reader.live
        self._ready = -1  # the last pass whose variant is known to be there
        if live and steps_a_call > self._a_pass:
            raise ConfigError(
                f"steps_per_execution={steps_a_call} with data.variants=live: a pass has "
                f"{self._a_pass} steps, and a call may span two passes at most; lower the former"
            )

    def before(
        self, step: int, steps: int, note: Callable[[], None], save: Callable[[], None]
    ) -> bool:
        """Whether it had to wait for what `steps` steps from `step` on read; with
        data.on_late=reuse, it only learns what that is.

        Args:
          step: steps done.
          steps: of the next call.
          note: records the progress, for the follower to see which variant is needed.
          save: called when a signal is received meanwhile; exits.

        Raises:
          DataError: the dataset is gone, or a variant is not of it.
        """
        live, last = self._live, (step + steps - 1) // self._a_pass
        if live is None or last <= self._ready:
            return False
        passes, began = range(step // self._a_pass, last + 1), time.monotonic()
        if live.reuses:
            self._ready = last
            if sum(map(live.begins, passes)):  # of each pass
                note()
            return False
        workers, monitors = self._run.workers, self._run.monitors
        waited = stopped = False
        news = _News(live, last)
        with contextlib.ExitStack() as stack:
            while workers.any_worker(not all(map(live.there, passes))) and not stopped:
                if not waited:
                    waited = True
                    note()
                    stack.enter_context(monitors.timeline.during(Activity.VARIANT))
                news.look()
                monitors.watchdog.alive(f"waiting for variant {last}", long=True)
                live.wait(last)
                stopped = workers.any_worker(self._run.signals.received is not None)
        if stopped:
            save()
            return True
        self._ready = last
        if waited:
            live.say(f"variant {last} came after {time.monotonic() - began:.1f} s")
        return waited


class _News:
    """Logs a wait: as it begins, when the follower comes or goes, and every few minutes."""

    def __init__(self, live: LiveVariants, variant: int) -> None:
        self._live, self._variant = live, variant
        self._at_work: bool | None = None
        self._next_look = self._again = 0.0

    def look(self) -> None:
        """Raises DataError if the dataset is gone."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        self._live.check_dataset()
        follower = self._live.follower_at_work()
        if bool(follower) == self._at_work and now < self._again:
            return
        self._at_work, self._again = bool(follower), now + AGAIN_SECONDS
        follower = follower or f"no follower: {self._live.how_to_follow}"
        self._live.say(f"waiting for variant {self._variant}; {follower}")
