"""The verdict for a training loop of your own: metrics.jsonl, timeline and report.json of a run.

TensorFlow is not imported; where it is there, a Verdict is a Keras callback, too (keras_loop.py).
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from preprocess.shell.atomic import write_text
from preprocess.shell.cli import say
from preprocess.shell.entries import load
from preprocess.shell.json_text import JsonObject, json_text
from trainer.bottleneck.intervals import RunFacts
from trainer.bottleneck.loop_verdict import loop_verdict
from trainer.bottleneck.run_caveats import with_caveats
from trainer.bottleneck.run_verdict import run_verdict
from trainer.bottleneck.sentences import as_json
from trainer.monitoring.cores import available_cores
from trainer.monitoring.metric_rows import typical
from trainer.monitoring.processor import ProcessorMonitor
from trainer.monitoring.time_account import account, read_attempts
from trainer.monitoring.timeline import Activity, Timeline
from trainer.monitoring.timing import HOST, STEP, WAIT, StepClock
from trainer.training.run_directory import RunDirectory

Batches = TypeVar("Batches", bound=Iterable[object])
_PER_SECOND = ("images_per_second", "images_per_second_per_replica")


class Verdict:
    """Times a loop, and says at its end what held it back.

        with Verdict("runs/mine", batch_size=64) as verdict:
            for batch in loader.numpy_batches(steps):
                with verdict.step():
                    loss = train(batch)
                if (verdict.steps % steps_per_epoch) == 0:
                    verdict.epoch(loss=loss)

    What passes between two steps counts as waiting for input; what else is done there, such as
    measuring or saving, belongs into `with verdict.during("validation")` or `"saving"`. A device
    that works on after a call has returned is to be waited for within the step.

    In Keras: `model.fit(verdict.watch(dataset), callbacks=[verdict])`.

    RUN gets metrics.jsonl (a row an epoch), timeline/ and report.json, as `trainer train` writes
    them, the report after each epoch, so that a run that is killed has one, too.

    Attributes:
      steps: that were done, those before `first_step` among them.
      epochs: likewise.
    """

    def __new__(cls, *args: object, **kwargs: object) -> Verdict:
        """A Keras callback where TensorFlow is loaded by now."""
        kind: Any = cls
        if cls is Verdict and "tensorflow" in sys.modules:
            kind = load("trainer.bottleneck.keras_loop:KerasVerdict")
        made: Verdict = object.__new__(kind)
        return made

    def __init__(self, run: str, *, batch_size: int | None = None, first_step: int = 0) -> None:
        """Args:
        run: the run directory, which is made if there is none.
        batch_size: pictures a step, all workers together; None = speed is not known in pictures.
        first_step: steps that were done before, by the state the loop resumes from: rows of
          metrics.jsonl that are of later ones are dropped.
        """
        self._directory = RunDirectory(run)
        self._batch_size = batch_size
        self._clock = StepClock()
        self._processor = ProcessorMonitor()
        self._timeline: Timeline | None = None
        self._began = 0.0
        self._rows: list[JsonObject] = []
        self.steps, self.epochs = first_step, 0

    def watch(self, batches: Batches) -> Batches:
        """The batches as they are; a tf.data.Dataset says from now on when each was ready."""
        return batches

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """A step of training, its batch at hand."""
        self._begin()
        self._clock.lap(WAIT)
        self._enter_step()
        yield
        self._clock.lap(STEP)
        self._step_ended(1)

    @contextlib.contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """Something besides the steps: one of `trainer.monitoring.timeline.Activity`."""
        timeline = self._begin()
        with timeline.during(Activity(activity)):
            yield
        self._clock.start()

    def epoch(self, **metrics: float) -> JsonObject:
        """Ends an epoch, with its figures by name (`loss`, `val_loss`, ...); returns its row."""
        timeline = self._begin()
        with timeline.during(Activity.CALLBACKS):
            speed: JsonObject = self._clock.figures(self._batch_size or 0, 1)
            if not self._batch_size:
                speed |= dict.fromkeys(_PER_SECOND)
            self.epochs += 1
            row: JsonObject = {
                "epoch": self.epochs,
                "step": self.steps,
                **{name: float(value) for name, value in metrics.items()},
                "seconds": time.monotonic() - self._began,
                **speed,
                **self._processor.figures(),
            }
            self._directory.append(row)
            self._rows.append(row)
            self._clock.restart()
            self._processor.restart()
            self._write_report()
        self._clock.start()
        return row

    def close(self) -> None:
        """Ends the run: the last report is written, and its verdict printed."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Verdict:
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timeline is None:
            return
        self._timeline.__exit__(kind, error, traceback)
        self._timeline = None
        report = self._write_report()
        if kind is None:
            say(report["bottleneck"]["verdict"])

    def _begin(self) -> Timeline:
        """Opens the run at its first call."""
        if self._timeline is None:
            self._directory.path.mkdir(parents=True, exist_ok=True)
            before = [row for row in self._directory.rows() if row.get("step", 0) <= self.steps]
            self.epochs = max((row["epoch"] for row in before), default=0)
            self._rows = self._directory.history(self.epochs)
            self._timeline = Timeline(self._directory.timeline_file(0)).__enter__()
            self._timeline.stepped(self.steps)
            self._began = time.monotonic()
            self._processor.restart()
            self._clock.start()
        return self._timeline

    def _enter_step(self) -> None:
        if not self._clock.warm:
            self._begin().enter(Activity.COMPILE)

    def _step_ended(self, steps: int) -> None:
        cold = not self._clock.warm
        self._clock.end(steps)
        self.steps += steps
        timeline = self._begin()
        timeline.stepped(self.steps, self._clock.spent[WAIT], self._clock.spent[HOST])
        if cold:
            timeline.enter(Activity.STEPS)

    def _write_report(self) -> JsonObject:
        rows = self._rows
        speed, step_ms = (typical(rows, name) for name in ("images_per_second", "step_ms"))
        attempts = read_attempts(self._directory.timeline_file(0), time.time())
        spent = account(attempts) if attempts else None
        bottleneck = loop_verdict(rows)
        if spent is not None:
            facts = RunFacts(step_ms / 1000, save_every=0, cpu_replicas=0, cores=available_cores())
            bottleneck = run_verdict(bottleneck, spent, facts, rows)
        report: JsonObject = {
            "steps": self.steps,
            "epochs": self.epochs,
            "seconds": sum(row["seconds"] for row in rows[-1:]),
            "images_per_second": speed if math.isfinite(speed) else None,
            "metrics": {"last": rows[-1] if rows else {}, "best": None},
            "weights_digest": None,
            "bottleneck": as_json(with_caveats(bottleneck, rows)),
            "time": None if spent is None else spent.as_json(),
        }
        write_text(self._directory.report_file, json_text(report, indent=2))
        return report
