"""The verdict for `model.fit`: a Verdict as a Keras callback."""

from __future__ import annotations

import collections
import contextlib
import time
from typing import Any

import numpy as np
import tensorflow as tf

from preprocess.shell.json_text import JsonObject
from trainer.bottleneck.own_loop import Verdict
from trainer.monitoring.timeline import Activity
from trainer.monitoring.timing import HOST, STEP, WAIT


class KerasVerdict(Verdict, tf.keras.callbacks.Callback):
    """Times the calls of `fit`.

    Keras takes a batch inside a call, where nobody sees how long it waited: so the dataset is
    watched, and says when a batch was there.
    """

    def __init__(self, run: str, *, batch_size: int | None = None, first_step: int = 0) -> None:
        """See Verdict."""
        self._ready: collections.deque[float] = collections.deque()
        self._watched = False
        self._validation: contextlib.AbstractContextManager[None] | None = None
        tf.keras.callbacks.Callback.__init__(self)
        Verdict.__init__(self, run, batch_size=batch_size, first_step=first_step)

    def watch(self, batches: Any) -> Any:
        """See Verdict.watch: give `fit` the dataset that this returns, and change it no more."""
        if not isinstance(batches, tf.data.Dataset):
            return batches
        self._watched = True

        def ready() -> np.bool_:
            self._ready.append(time.perf_counter())
            return np.bool_(True)

        def noted(*batch: tf.Tensor) -> object:
            with tf.control_dependencies([tf.numpy_function(ready, [], tf.bool)]):
                same = tf.nest.map_structure(tf.identity, batch)
            return same if len(same) > 1 else same[0]

        options = tf.data.Options()
        # Or a batch would be noted when it is fetched ahead, and not when it is taken.
        options.experimental_optimization.inject_prefetch = False
        return batches.map(noted, name="ready").with_options(options)

    # Keras's hooks.

    def on_train_begin(self, logs: JsonObject | None = None) -> None:
        """The run begins; what Keras itself still builds counts for the first step."""
        self._begin()
        self._clock.measures_waiting = self._watched
        self._ready.clear()

    def on_train_batch_begin(self, batch: int, logs: JsonObject | None = None) -> None:
        """Keras asks for a batch next, within its call."""
        self._enter_step()
        self._clock.lap(HOST)

    def on_train_batch_end(self, batch: int, logs: JsonObject | None = None) -> None:
        """The call is over: it waited up to when its batch was there."""
        ended = time.perf_counter()
        if self._ready:
            self._clock.lap(WAIT, min(self._ready.popleft(), ended))
        self._clock.lap(STEP, ended)
        self._step_ended(1)

    def on_test_begin(self, logs: JsonObject | None = None) -> None:
        """A validation within `fit`."""
        if self._timeline is not None:
            self._validation = self.during(Activity.VALIDATION)
            self._validation.__enter__()

    def on_test_end(self, logs: JsonObject | None = None) -> None:
        """The steps continue."""
        if self._validation is not None:
            self._validation.__exit__(None, None, None)
            self._validation = None

    def on_epoch_end(self, epoch: int, logs: JsonObject | None = None) -> None:
        """Writes the epoch's row and report."""
        self.epoch(**(logs or {}))

    def on_train_end(self, logs: JsonObject | None = None) -> None:
        """Writes the last report and prints the verdict."""
        self.close()
