"""Batches made by a tf.data service: other machines read and decode, this one trains.

What is sent is a plan: for each batch, the file, offset and length of its records. It comes from
the same arithmetic as local reading, so the batches are the same. The service returns each batch at
most once and in any order, and loses those that a lost worker was working on; here they are put in
order, and this process reads any batch that does not arrive. So every record is seen once a pass,
in the same order as without a service, whatever happens to its workers.

Plans are sent in chunks of batches: the service never holds more than a few of them, and the size
of a plan does not depend on that of the dataset.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import cancellation

from preprocess.shell.address import host_and_port
from preprocess.shell.cli import say
from preprocess.shell.errors import RestartError, UserError
from preprocess.shell.tensorflow_text import error_reason
from trainer.compat.grpc_proxy import proxy_note
from trainer.data.payloads import Plan

GUARANTEE = (
    "pictures decoded by the tf.data service at {}: every record once a pass in the usual order, "
    "batches of a lost worker are read here; exact resume is not guaranteed"
)
CHUNK_ROWS = 32_768  # records of a plan; about 20 bytes each, which the dispatcher keeps
LEAST_CHUNK = 64  # batches, so that starting the next chunk causes no delay
WINDOW_BYTES = 1 << 29  # of batches of a chunk that arrived early
WINDOW = (8, 64)  # batches: minimum and maximum
# If no batch arrives for this long, this process reads the missing ones of the chunk.
STALL_SECONDS = 20.0
CONNECT_SECONDS = 5.0
FIRST_ANSWER_SECONDS = 30.0  # of a worker, from when the dispatcher has responded
CALLS_A_WORKER = 4  # batches that a worker prepares at a time

Arrays = tuple[np.ndarray, ...]
Decode: TypeAlias = "Callable[[tf.Tensor], tuple[tf.Tensor, ...]]"  # of serialised records [b]


def service_address(address: str) -> tuple[str, int]:
    """Host and port of grpc://HOST:PORT."""
    return host_and_port(address.removeprefix("grpc://"))


def reachable(address: str, seconds: float) -> str:
    """Why nothing listens at grpc://HOST:PORT, as a message; '' if something does."""
    try:
        socket.create_connection(service_address(address), seconds).close()
    except OSError as error:
        return str(error)
    return ""


def check_service(address: str, seconds: float = FIRST_ANSWER_SECONDS) -> None:
    """Has a worker of the service compute one number.

    Raises:
      RestartError: there is no dispatcher at the address, or it has no worker.
    """
    problem = reachable(address, CONNECT_SECONDS)
    if problem:
        raise RestartError(
            f"data.service={address}: no dispatcher responds there ({problem}); start it with "
            "`python -m trainer dataservice --role=dispatcher`, or leave data.service out"
        )
    answers: list[str] = []
    stop = cancellation.CancellationManager()

    def ask() -> None:
        try:
            numbers = tf.data.Dataset.range(1).apply(_distributed(address, "OFF"))
            answers.extend("" for _ in itertools.islice(_iterate(numbers, stop), 1))
        except tf.errors.OpError as error:
            answers.append(error_reason(error) or type(error).__name__)

    # The thread may be left behind: registering waits for a dispatcher forever, uninterruptibly.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    stop.start_cancel()
    if answers[:1] != [""]:
        what = answers[0] if answers else f"no worker responded within {seconds:g} s"
        raise RestartError(
            f"data.service={address}: a dispatcher responds, but {what}; start workers with "
            f"`python -m trainer dataservice --role=worker --dispatcher={address}`{proxy_note()}"
        )


class ServiceBatches:
    """Batches first, first + 1, ... in order, made by the service."""

    def __init__(
        self,
        address: str,
        rows: int,
        plan: Callable[[int], Plan],
        decode: Decode,
        here: Callable[[int], Arrays],
        batch_bytes: int,
        last: int,
    ) -> None:
        """Args:
        address: grpc://HOST:PORT of the dispatcher.
        rows: of a batch.
        plan: the plan of a batch.
        decode: payloads string[b] -> (pictures, targets ...), as a graph without Python in it.
        here: reads a batch in this process: these, then (record, weight, share, row).
        batch_bytes: of a batch's pictures.
        last: the number after the last batch.
        """
        self._address, self._plan, self._decode, self._here = address, plan, decode, here
        self._last = last
        self._window = int(np.clip(WINDOW_BYTES // batch_bytes, *WINDOW))
        self._chunk_length = max(LEAST_CHUNK, CHUNK_ROWS // rows)
        self._chunks: dict[int, _Chunk] = {}
        self._next = -1
        self.read_here = 0
        self._said = 0.0
        weakref.finalize(self, _stop_all, self._chunks)

    def batch(self, number: int) -> Arrays:
        """One batch; call it in order."""
        if number != self._next:  # a new iterator over the same dataset
            _stop_all(self._chunks)
            self._origin = number
        self._next = number + 1
        at = (number - self._origin) // self._chunk_length
        chunk = self._started(at)
        if number - chunk.first >= self._chunk_length // 2 and chunk.stop < self._last:
            self._started(at + 1)  # before this one ends
        found = chunk.take(number)
        if number + 1 == chunk.stop:
            self._chunks.pop(at).close()
        if found is not None:
            return found
        self.read_here += 1
        self._tell(number, chunk)
        return self._here(number)

    def _started(self, at: int) -> _Chunk:
        first = self._origin + at * self._chunk_length
        if at not in self._chunks:
            numbers = range(first, min(first + self._chunk_length, self._last))
            self._chunks[at] = _Chunk(
                self._address, numbers, self._plan, self._decode, self._window
            )
        return self._chunks[at]

    def _tell(self, number: int, chunk: _Chunk) -> None:
        """Warns that a batch is read here, at most once a minute."""
        if time.monotonic() - self._said > 60 or not self._said:
            self._said = time.monotonic()
            why = chunk.failure or "a worker is lost or far behind"
            say(
                f"warning: tf.data service: batch {number} did not arrive ({why}); this process "
                f"reads such batches itself, {self.read_here} so far"
            )


class _Chunk:
    """A plan at the service, and its early batches.

    Attributes:
      first, stop: the numbers of its first batch and of the one after its last.
      failure: the service's error for it; "" if there was none.
    """

    def __init__(
        self,
        address: str,
        numbers: range,
        plan: Callable[[int], Plan],
        decode: Decode,
        window: int,
    ) -> None:
        self.first, self.stop, self.failure = numbers.start, numbers.stop, ""
        self._window = window
        self._wanted = self.first
        self._came: dict[int, Arrays] = {}
        self._changed = threading.Condition()
        self._blocked = -1  # the batch that waits for room in the window
        self._over = False
        self._cancel = cancellation.CancellationManager()
        threading.Thread(
            target=self._receive, args=(address, plan, decode), daemon=True, name="data-service"
        ).start()

    def take(self, number: int) -> Arrays | None:
        """A batch, when it has arrived; None if it will not, or not soon."""
        with self._changed:
            self._wanted = number
            self._changed.notify_all()
            while number not in self._came:
                # Its successors fill the window: its worker is lost, or far behind.
                if self._over or self._blocked >= number + self._window:
                    return None
                if not self._changed.wait(STALL_SECONDS):
                    self._over = True
                    self._cancel.start_cancel()
                    return None
            return self._came.pop(number)

    def close(self) -> None:
        """Abandons the batches still to come."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._cancel.start_cancel()

    def _receive(self, address: str, plan: Callable[[int], Plan], decode: Decode) -> None:
        try:
            plans = [plan(number) for number in range(self.first, self.stop)]
            batches = _planned(plans, decode).apply(_distributed(address, "DYNAMIC"))
            for number, *parts in _iterate(batches, self._cancel):
                its_plan = plans[int(number)]
                rest = (its_plan.record, its_plan.weight, its_plan.share, its_plan.row)
                if not self._put(self.first + int(number), (*(p.numpy() for p in parts), *rest)):
                    return
        except (tf.errors.OpError, UserError) as error:
            # If the data is at fault, reading here reports it properly.
            self.failure = error_reason(error) or type(error).__name__
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _put(self, number: int, batch: Arrays) -> bool:
        """Keeps a batch until it is due; False if no more are wanted."""
        with self._changed:
            while number >= self._wanted + self._window and not self._over:
                self._blocked = number
                self._changed.notify_all()
                self._changed.wait()
            self._blocked = -1
            if number >= self._wanted:  # otherwise it was read here meanwhile
                self._came[number] = batch
                self._changed.notify_all()
            return not self._over


def _planned(plans: list[Plan], decode: Decode) -> tf.data.Dataset:
    """(number of the batch in the chunk, pictures, targets ...) of all batches, as a graph."""
    names = sorted({name for plan in plans for name in plan.files})
    place = {name: at for at, name in enumerate(names)}
    files = tf.constant(names)
    which = tf.constant([[place[name] for name in plan.files] for plan in plans], tf.int32)
    spans = tf.constant(np.stack([plan.spans for plan in plans]), tf.int64)

    def record(where: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        file, span = where
        found = tf.raw_ops.TFRecordDatasetV2(
            filenames=[tf.gather(files, file)],
            compression_type="",
            buffer_size=span[1],  # one read, of just this record
            byte_offsets=span[:1],
            metadata="",
        )
        records = tf.data.experimental.from_variant(found, tf.TensorSpec([], tf.string))
        return records.take(1).get_single_element()

    def batch(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        payloads = tf.map_fn(
            record,
            (tf.gather(which, number), tf.gather(spans, number)),
            fn_output_signature=tf.TensorSpec([], tf.string),
            parallel_iterations=16,
        )
        return number, *decode(payloads)

    return tf.data.Dataset.range(len(plans)).map(
        batch, num_parallel_calls=CALLS_A_WORKER, deterministic=False
    )


def _distributed(address: str, mode: str) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
    service = tf.data.experimental.service
    # Pixels hardly compress.
    return service.distribute(getattr(service.ShardingPolicy, mode), address, compression=None)


def _iterate(
    dataset: tf.data.Dataset, stop: cancellation.CancellationManager
) -> Iterator[Sequence[tf.Tensor]]:
    """The elements of a dataset, until `stop` is set: TensorFlow itself would wait forever."""
    with tf.device("CPU:0"):
        iterator = iter(dataset)
        following = tf.function(lambda: iterator.get_next()).get_concrete_function()
    step = stop.get_cancelable_function(following)
    while True:
        try:
            found = step()
        except (tf.errors.OutOfRangeError, tf.errors.CancelledError):
            return
        yield found if isinstance(found, (tuple, list)) else (found,)


def _stop_all(chunks: dict[int, _Chunk]) -> None:
    for chunk in chunks.values():
        chunk.close()
    chunks.clear()
