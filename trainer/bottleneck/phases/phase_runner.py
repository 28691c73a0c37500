"""Runs the phases on the real configuration, in rounds, so that a slow minute of the machine does
not meet one phase alone.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from trainer.bottleneck.phases.device_phases import DeviceParts, resized, wait
from trainer.bottleneck.phases.measurements import InputTiming, Measurements, Timing
from trainer.bottleneck.phases.phase_timing import (
    ELEMENTS,
    FEWEST,
    WARMING,
    Phase,
    PhaseTimings,
    Watch,
    time_elements,
    time_in_turn,
)
from trainer.bottleneck.thresholds import SECOND_PART
from trainer.data.cuts import Cut
from trainer.data.open_input import OpenInput
from trainer.data.order import ReplicaSlice
from trainer.data.reader import Reader
from trainer.data.rows import Tensors
from trainer.monitoring.cores import available_cores
from trainer.monitoring.processor import OTHERS, OWN, ProcessorMonitor
from trainer.training.evaluation import read_error
from trainer.training.session import Session
from trainer.training.steps import Steps
from trainer.training.training_run import StepRun, unwatched
from trainer.workers import devices
from trainer.workers.signals import StopSignals
from trainer.workers.worker_group import WorkerGroup, lost_peer

ROUNDS, SECONDS = 3, 1.2  # of a phase in a round
LAYER_ROUNDS = 2
ENDLESS = 1 << 30

_INPUT, _REPLICA, _LAYER = "input ", "replica ", "layer "  # of which phases' names begin with


def measure(
    session: Session,
    reader: Reader,
    workers: WorkerGroup,
    say: Callable[[str], None] = lambda _: None,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> Measurements:
    """All phases of a configuration.

    Args:
      session: without optimizer yet. Its weights change: do not use it for a run.
      reader: of the training split.
      workers: the workers, each of which measures.
      say: takes a line on what is being done.
      rounds: how often each phase is measured.
      seconds: how long, each time; longer where a step takes longer.

    Raises:
      DataError: a shard is damaged. ConfigError: out of memory.
      LostPeerError: another worker is lost.
      Diverged: the loss is no longer finite.
    """
    try:
        return _Measuring(session, reader, workers, say, seconds).run(rounds)
    except tf.errors.OpError as error:
        lost = lost_peer(error) if workers.size > 1 else None
        raise lost or read_error(reader, error) from error


class _Measuring:
    def __init__(
        self,
        session: Session,
        reader: Reader,
        workers: WorkerGroup,
        say: Callable[[str], None],
        seconds: float,
    ) -> None:
        self._seconds = seconds
        self._session, self._reader, self._workers, self._say = session, reader, workers, say
        self._strategy = session.strategy
        self._steps = Steps(StepRun(session, reader, workers, StopSignals(say), unwatched(say)))
        self._config = session.config
        replicas = self._strategy.num_replicas_in_sync
        self._slice = ReplicaSlice(
            workers.rank * replicas // workers.size, replicas // workers.size, replicas
        )

    def run(self, rounds: int) -> Measurements:
        timings = PhaseTimings()
        processor = ProcessorMonitor(alone=self._workers.alone)
        # Before training's own pipeline is opened, which keeps preparing what comes next.
        cuts = self._reader.cuts(self._slice)
        inputs = {f"{_INPUT}{cut.stage}": functools.partial(self._pictures, cut) for cut in cuts}
        time_in_turn(timings, inputs, rounds)
        self._say("reading a first batch")
        with self._distributed() as batches:
            return self._run(batches, cuts, timings, processor, rounds)

    def _run(
        self,
        batches: OpenInput,
        cuts: Sequence[Cut],
        timings: PhaseTimings,
        processor: ProcessorMonitor,
        rounds: int,
    ) -> Measurements:
        """The phases that take whole batches, after those of the input alone."""
        batch = next(batches)
        rows = self._config.batch_size // self._strategy.num_replicas_in_sync
        small = rows // 2 or 2 * rows
        on_device = self._on_device(batch, resized(self._strategy, batch, rows, small))
        self._say("tracing the step")
        for call in on_device.values():
            wait(self._strategy, call())
        with self._resident(batch) as same:
            self._train(same, 2 * self._config.steps_per_execution)
        phases: dict[str, Phase] = {
            **{name: functools.partial(self._calls, call) for name, call in on_device.items()},
            "resident": functools.partial(self._on_resident, batch),
            # With one iterator: a new one may have a table to make first.
            "transfer": lambda: self._elements(batches),
            "full": lambda: self._looped(batches, ELEMENTS),
        }
        time_in_turn(timings, phases, rounds)
        figures = processor.figures()
        layers = self._layers(batch, timings)
        found = self._measurements(timings, cuts, small / rows, figures)
        return dataclasses.replace(found, layers=layers)

    def _layers(self, batch: Tensors, timings: PhaseTimings) -> tuple[tuple[str, float], ...]:
        """Seconds of each on-device layer, where all of them take enough of a step to matter."""
        share = timings.timing("preprocess").best / timings.timing("step").best
        # The workers measure together or not at all.
        if max(row[0] for row in self._workers.gather([share])) < SECOND_PART:
            return ()
        calls = DeviceParts(self._session).layers()
        if len(calls) < 3:  # none, or one
            return ()
        self._say("timing each on-device layer")
        phases: dict[str, Phase] = {
            f"{_LAYER}{name}": functools.partial(self._calls, functools.partial(call, batch))
            for name, call in calls.items()
        }
        time_in_turn(timings, phases, LAYER_ROUNDS)
        ends = [timings.timing(name).best for name in phases]
        return tuple(
            (name.removeprefix(_LAYER).replace("random_", ""), max(0.0, end - begin))
            for name, (begin, end) in zip(list(phases)[1:], itertools.pairwise(ends), strict=True)
        )

    def _on_device(self, batch: Tensors, other: Tensors) -> dict[str, Callable[[], object]]:
        """The parts of a step, on a resident batch and on one of another size."""
        parts = DeviceParts(self._session)
        calls: dict[str, Callable[[], object]] = {
            "nothing": lambda: parts.nothing(batch),
            "preprocess": lambda: parts.preprocess(batch),
            "small_preprocess": lambda: parts.preprocess(other),
            "step": lambda: self._steps.train_one(batch)[0],
            "small_step": lambda: self._steps.train_one(other)[0],
        }
        if self._strategy.num_replicas_in_sync > 1:
            calls["all_reduce"] = functools.partial(parts.all_reduce(), batch)
            for replica in range(self._slice.first, self._slice.first + self._slice.count):
                calls[f"{_REPLICA}{replica}"] = functools.partial(parts.one_replica(replica), batch)
        return calls

    def _measurements(
        self,
        timings: PhaseTimings,
        cuts: Sequence[Cut],
        small: float,
        processor: Mapping[str, float | None],
    ) -> Measurements:
        own_replicas = [timings.timing(name).median for name in timings.names(_REPLICA)]
        workers = self._inputs_of_workers(cuts, timings)
        slowest = max(workers, key=lambda inputs: inputs[-1].median)
        return Measurements(
            pictures_a_step=self._steps.pictures_a_step,
            replicas=self._strategy.num_replicas_in_sync,
            cores=available_cores(),
            inputs=tuple(
                InputTiming(cut.stage, timing, cut.once)
                for cut, timing in zip(cuts, slowest, strict=False)
            ),
            transfer=slowest[-1],
            nothing=timings.timing("nothing"),
            preprocess=timings.timing("preprocess"),
            step=timings.timing("step"),
            small_preprocess=timings.timing("small_preprocess"),
            small_step=timings.timing("small_step"),
            small=small,
            all_reduce=timings.timing("all_reduce" if own_replicas else "nothing"),
            each_replica=(
                tuple(map(tuple, self._workers.gather(own_replicas))) if own_replicas else ()
            ),
            resident=timings.timing("resident"),
            full=timings.timing("full"),
            worker_inputs=tuple(inputs[-1].median for inputs in workers),
            processor=processor[OWN],
            processor_of_others=processor[OTHERS],
        )

    def _inputs_of_workers(self, cuts: Sequence[Cut], timings: PhaseTimings) -> list[list[Timing]]:
        """The timings of the cuts and of `transfer`, the whole pipeline, by worker."""
        own = [timings.timing(f"{_INPUT}{cut.stage}") for cut in cuts] + [
            timings.timing("transfer")
        ]
        rounds = len(own[0].seconds)
        numbers = [number for timing in own for number in (*timing.seconds, *timing.cpu_seconds)]
        return [
            [
                Timing(
                    tuple(row[start : start + rounds]),
                    tuple(row[start + rounds : start + 2 * rounds]),
                )
                for start in range(0, len(row), 2 * rounds)
            ]
            for row in self._workers.gather(numbers)
        ]

    def _distributed(self) -> OpenInput:
        def dataset(part: ReplicaSlice) -> tf.data.Dataset:
            return self._reader.dataset(0, part)

        return OpenInput(devices.distribute(self._strategy, dataset, endless=True))

    def _resident(self, batch: Tensors) -> OpenInput:
        """The same batch forever, as the loop takes it."""
        if self._config.steps_per_execution == 1:
            return OpenInput(itertools.repeat(batch))
        # Only a dataset's own iterator goes into a graph of several steps.
        local = self._strategy.experimental_local_results(batch)

        def dataset(part: ReplicaSlice) -> tf.data.Dataset:
            rows = [tf.data.Dataset.from_tensors(local[i]) for i in range(part.count)]
            together = rows[0]
            for row in rows[1:]:
                together = together.concatenate(row)
            return together.cache().repeat()

        return OpenInput(devices.distribute(self._strategy, dataset, endless=True))

    def _train(self, batches: OpenInput, steps: int) -> None:
        self._steps.run(batches, self._steps.done + steps, epoch=0, shown=False)
        self._steps.catch_up()

    def _on_resident(self, batch: Tensors) -> tuple[float, float]:
        """Seconds of a step in the training loop, without input."""
        with self._resident(batch) as same:
            return self._looped(same)

    def _looped(self, batches: OpenInput, fewest: int = FEWEST) -> tuple[float, float]:
        """Seconds of a step in the training loop."""
        a_call = self._config.steps_per_execution
        tried = Watch()
        self._train(batches, FEWEST * a_call)
        a_step = tried.read()[0] / (FEWEST * a_call)
        calls = self._agreed(WARMING * self._seconds / a_step) // a_call
        self._train(batches, max(1, calls) * a_call)
        calls = max(fewest, self._agreed(self._seconds / a_step) // a_call)
        self._steps.clock.restart()
        watch = Watch()
        self._train(batches, calls * a_call)
        seconds, cpu = watch.read()
        return seconds / (calls * a_call), cpu / (calls * a_call)

    def _calls(self, call: Callable[[], object]) -> tuple[float, float]:
        """Seconds of a call, one after another without waiting in between, as in training."""
        tried = Watch()
        wait(self._strategy, call())
        a_call = tried.read()[0]
        for count in (WARMING, 1 - WARMING):
            number = max(FEWEST, self._agreed(count * self._seconds / a_call))
            watch = Watch()
            for _ in range(number):
                result = call()
            wait(self._strategy, result)
        seconds, cpu = watch.read()
        return seconds / number, cpu / number

    def _agreed(self, number: float) -> int:
        """The same number of calls on all workers: they wait for each other in each."""
        return int(min(row[0] for row in self._workers.gather([min(number, ENDLESS)])))

    def _pictures(self, cut: Cut) -> tuple[float, float]:
        """Seconds for a step's pictures; for all of a table that is filled once a run."""
        pictures = cut.pictures_a_step or self._reader.pictures_in_table
        # The elements of a cut are counts of pictures.
        with OpenInput(cut.dataset()) as elements:
            seconds, cpu, count = time_elements(
                elements, lambda element: int(element.numpy()), self._seconds
            )
        return seconds / count * pictures, cpu / count * pictures

    def _elements(self, batches: OpenInput) -> tuple[float, float]:
        """Seconds of a batch."""

        def arrived(batch: Tensors) -> int:
            wait(self._strategy, batch["weight"])
            return 1

        seconds, cpu, count = time_elements(batches, arrived, self._seconds)
        return seconds / count, cpu / count
