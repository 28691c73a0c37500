"""Agreement between the workers of a run, by collectives of one number.

All workers must make the same calls in the same order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from preprocess.shell.errors import LostPeerError, first_line
from preprocess.shell.process import boot_number
from trainer.compat.grpc_proxy import proxy_note
from trainer.monitoring.cores import shared_cores_number
from trainer.monitoring.memory import shared_memory_number
from trainer.workers.barrier import is_listening
from trainer.workers.cluster import Cluster

LEAVE_SECONDS = 30.0  # how long rank 0 waits for the others at the end
_PAUSE_SECONDS = 0.1
TEXT_BYTES = 256  # of a text that is sent to all

# What TensorFlow raises if a peer is gone, too late, or has failed itself.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)
_LOST_WORDS = ("Collective ops is aborted", "CoordinationService", "coordination service")


class WorkerGroup:
    """The workers of a run as seen by one of them; without a cluster, just this process.

    Args:
      cluster: the workers, or None.
      strategy: the MultiWorkerMirroredStrategy that joins them.

    Attributes:
      on_these_cores: workers of the run, this one among them, that compete for its cores.
      in_this_memory: the same of its memory.
    """

    def __init__(
        self, cluster: Cluster | None = None, strategy: tf.distribute.Strategy | None = None
    ) -> None:
        self._cluster = cluster
        self._replicas = strategy.num_replicas_in_sync if strategy else 1
        self._asked: Any = None
        self._sum = _sum_function(strategy) if cluster and strategy else None
        # Host names are no proof: a machine may have several, and a container its own.
        machine, cores, memory = boot_number(), shared_cores_number(), shared_memory_number()
        rows = [tuple(map(round, row)) for row in self.gather([machine, cores, memory])]
        self._shares_machine = sum(boot == machine for boot, *_ in rows) > 1
        self.on_these_cores = sum(row[:2] == (machine, cores) for row in rows)
        beside = sum((row[0], row[2]) == (machine, memory) for row in rows)
        self.in_this_memory = beside if machine else 1  # what is not known is nobody else's

    @property
    def rank(self) -> int:
        """The rank of this process."""
        return self._cluster.rank if self._cluster else 0

    @property
    def size(self) -> int:
        """How many workers there are."""
        return self._cluster.size if self._cluster else 1

    @property
    def chief(self) -> bool:
        """Whether this process writes the run directory."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether this machine has no other worker of the run, as far as known."""
        return not self._shares_machine

    def any_worker(self, flag: bool) -> bool:
        """Whether a flag is true on any worker."""
        return bool(self._total(int(flag)) > 0) if self._sum else flag

    def any_worker_soon(self, flag: bool) -> bool:
        """any_worker() of the flags of the previous call, so that devices are not waited for."""
        if not self._sum:
            return flag
        answer, self._asked = self._asked, self._sum(int(flag))
        return answer is not None and bool(answer > 0)

    def same(self, number: int) -> bool:
        """Whether all workers passed the same number."""
        if not self._sum:
            return True
        mean = float(self._total(number)) / self._replicas
        return not self.any_worker(number != mean)

    def gather(self, values: Sequence[float]) -> list[list[float]]:
        """The values of all workers, by rank; all pass the same number of values."""
        if not self._sum:
            return [list(values)]
        # This worker's row, zeros elsewhere: the sum over all workers has every row.
        rows = np.zeros((self.size, len(values)))
        local = self._replicas // self.size
        rows[self.rank] = np.asarray(values, np.float64) / local
        found: list[list[float]] = self._sum(rows).numpy().tolist()
        return found

    def broadcast(self, text: str) -> str:
        """Worker 0's text, of at most TEXT_BYTES."""
        codes = text.encode("utf-8").ljust(TEXT_BYTES, b"\0")
        return bytes(map(round, self.gather(codes)[0])).rstrip(b"\0").decode("utf-8")

    def barrier(self) -> None:
        """A barrier: returns when every worker has called it."""
        self.any_worker(False)

    def leave(self) -> None:
        """The end of a run: rank 0 returns last, when the others have closed their ports.

        Rank 0 sends the last results of collectives and hosts TensorFlow's coordination.
        """
        if self._cluster is None:
            return
        try:
            self.barrier()
        except tf.errors.OpError as error:
            # Another worker may have its result, and exit, before the first has all of it.
            if not self.chief or lost_peer(error) is None:
                raise
        deadline = time.monotonic() + LEAVE_SECONDS
        while self.chief and time.monotonic() < deadline:
            if not any(map(is_listening, self._cluster.addresses[1:])):
                return
            time.sleep(_PAUSE_SECONDS)

    def _total(self, number: int) -> tf.Tensor:
        assert self._sum
        return self._sum(number).numpy()


ALONE = WorkerGroup()


def lost_peer(error: BaseException) -> LostPeerError | None:
    """The error to raise if a TensorFlow error means that a peer is gone, else None."""
    message = getattr(error, "message", "") or ""
    if not isinstance(error, tf.errors.OpError):
        return None
    if not isinstance(error, _LOST) and not any(word in message for word in _LOST_WORDS):
        return None
    words = [line for line in message.splitlines() if "Collective ops is aborted" in line]
    reason = (words[0] if words else first_line(error)).strip()[:200]
    return LostPeerError(
        f"another worker is gone or out of step ({reason}); run the same command on all "
        f"workers to resume from the last saved state{proxy_note()}"
    )


def _sum_function(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function of this worker's integers or float64s -> their sum over all replicas."""

    @tf.function
    def total(number: tf.Tensor) -> tf.Tensor:
        # Not the argument itself: a collective needs a tensor that the replica has made.
        each = strategy.run(tf.identity, args=(number,))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None)

    def sum_of(number: tf.Tensor) -> tf.Tensor:
        if isinstance(number, int):
            return total(tf.constant(number, tf.int64))
        return total(tf.constant(number, tf.float64))

    return sum_of
