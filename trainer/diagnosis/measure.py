"""Runs the phases on the real configuration, in rounds, so that a slow minute of the machine does
not meet one phase alone.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from trainer import devices
from trainer.cores import available_cores
from trainer.crew import Crew, lost_peer
from trainer.diagnosis.device import DeviceParts, resized, wait
from trainer.diagnosis.measurements import InputTiming, Measurements, Timing
from trainer.evaluation import read_error
from trainer.order import ReplicaSlice
from trainer.processor import OTHERS, OWN, ProcessorMonitor
from trainer.reader import Reader
from trainer.reader.cuts import Cut
from trainer.session import Session
from trainer.signals import StopSignals
from trainer.steps import Steps

ROUNDS, SECONDS = 3, 1.2  # of a phase in a round
WARMING = 0.35  # the share of it that does not count: buffers are filled, threads come up
LONGEST = 20.0  # seconds of a phase in a round, where a step takes very long
FEWEST = 3  # steps that count
ELEMENTS = 8  # of a pipeline, at least: reads that run side by side also end side by side
ENDLESS = 1 << 30


class _Watch:
    """Seconds on the clock and of this process's cores, from the moment it is made."""

    def __init__(self) -> None:
        self._seconds, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._seconds, time.process_time() - self._cpu


class _Rounds:
    """Figures by phase, a pair a round."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, name: str, figures: tuple[float, float]) -> None:
        self._found[name].append(figures)

    def timing(self, name: str) -> Timing:
        seconds, cpu = zip(*self._found[name], strict=True)
        return Timing(seconds, cpu)


def measure(
    session: Session,
    reader: Reader,
    crew: Crew,
    say: Callable[[str], None] = lambda _: None,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> Measurements:
    """All phases of a configuration.

    Args:
      session: without optimizer yet. Its weights change: it is to be nobody's run.
      reader: of the training split.
      crew: the workers, each of which measures.
      say: takes a line on what is being done.
      rounds: how often each phase is measured.
      seconds: how long, each time; longer where a step takes longer.

    Raises:
      DataError: a shard is damaged. ConfigError: out of memory.
      RestartError: another worker is lost.
      Diverged: the loss is no longer finite.
    """
    try:
        return _Measuring(session, reader, crew, say, seconds).run(rounds)
    except tf.errors.OpError as error:
        lost = lost_peer(error) if crew.size > 1 else None
        raise lost or read_error(reader, error) from error


class _Measuring:
    def __init__(
        self,
        session: Session,
        reader: Reader,
        crew: Crew,
        say: Callable[[str], None],
        seconds: float,
    ) -> None:
        self._seconds = seconds
        self._session, self._reader, self._crew, self._say = session, reader, crew, say
        self._strategy = session.strategy
        self._steps = Steps(session, reader, StopSignals(say), crew)
        self._config = session.config
        replicas = self._strategy.num_replicas_in_sync
        self._slice = ReplicaSlice(
            crew.rank * replicas // crew.size, replicas // crew.size, replicas
        )

    def run(self, rounds: int) -> Measurements:
        found = _Rounds()
        processor = ProcessorMonitor(alone=self._crew.alone)
        cuts = self._reader.cuts(self._slice)
        # Before training's own pipeline is opened, which goes on preparing what comes next.
        with tqdm(total=rounds * len(cuts), unit="phase", disable=None, leave=False) as bar:
            for _, cut in itertools.product(range(rounds), cuts):
                bar.set_postfix_str(cut.stage)
                # For a step's pictures; for all of a table that is filled once a run.
                pictures = cut.pictures_a_step or self._reader.pictures_in_table
                found.add(f"input {cut.stage}", self._pictures(cut.dataset(), pictures))
                bar.update()
        self._say("reading a first batch")
        batches = self._distributed()
        batch = next(batches)
        parts = DeviceParts(self._session)
        rows = self._config.batch_size // self._strategy.num_replicas_in_sync
        small = rows // 2 or 2 * rows
        other = resized(self._strategy, batch, rows, small)
        replicas = range(self._slice.first, self._slice.first + self._slice.count)
        on_device: dict[str, Callable[[], Any]] = {
            "nothing": lambda: parts.nothing(batch),
            "preprocess": lambda: parts.preprocess(batch),
            "small_preprocess": lambda: parts.preprocess(other),
            "step": lambda: self._steps.train_one(batch)[0],
            "small_step": lambda: self._steps.train_one(other)[0],
        }
        if self._strategy.num_replicas_in_sync > 1:
            all_reduce = parts.all_reduce()
            on_device["all_reduce"] = lambda: all_reduce(batch)
            for replica in replicas:
                alone = parts.one_replica(replica)
                on_device[f"replica {replica}"] = lambda alone=alone: alone(batch)  # type: ignore[misc]
        self._say("tracing the step")
        for call in on_device.values():
            wait(self._strategy, call())
        self._train(self._resident(batch), 2 * self._config.steps_per_execution)
        timed: dict[str, Callable[[], tuple[float, float]]] = {
            **{name: functools.partial(self._calls, call) for name, call in on_device.items()},
            "resident": lambda: self._looped(self._resident(batch)),
            # With one iterator: a new one may have a table to make first.
            "transfer": lambda: self._elements(batches),
            "full": lambda: self._looped(batches, ELEMENTS),
        }
        with tqdm(total=rounds * len(timed), unit="phase", disable=None, leave=False) as bar:
            for _, (name, phase) in itertools.product(range(rounds), timed.items()):
                bar.set_postfix_str(name)
                found.add(name, phase())
                bar.update()
        meanwhile = processor.figures()
        each = [found.timing(name).median for name in on_device if name.startswith("replica ")]
        workers = self._inputs_of_workers(cuts, found)
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
            nothing=found.timing("nothing"),
            preprocess=found.timing("preprocess"),
            step=found.timing("step"),
            small_preprocess=found.timing("small_preprocess"),
            small_step=found.timing("small_step"),
            small=small / rows,
            all_reduce=found.timing("all_reduce" if "all_reduce" in on_device else "nothing"),
            each_replica=tuple(map(tuple, self._crew.gather(each))) if each else (),
            resident=found.timing("resident"),
            full=found.timing("full"),
            worker_inputs=tuple(inputs[-1].median for inputs in workers),
            processor=meanwhile[OWN],
            processor_of_others=meanwhile[OTHERS],
        )

    def _inputs_of_workers(self, cuts: Sequence[Cut], found: _Rounds) -> list[list[Timing]]:
        """The timings of the cuts and of `transfer`, the whole pipeline, by worker."""
        own = [found.timing(f"input {cut.stage}") for cut in cuts] + [found.timing("transfer")]
        rounds = len(own[0].seconds)
        numbers = [number for timing in own for number in (*timing.seconds, *timing.cpu_seconds)]
        return [
            [
                Timing(tuple(row[at : at + rounds]), tuple(row[at + rounds : at + 2 * rounds]))
                for at in range(0, len(row), 2 * rounds)
            ]
            for row in self._crew.gather(numbers)
        ]

    def _distributed(self) -> Iterator[Any]:
        return iter(
            devices.distribute(
                self._strategy, lambda part: self._reader.dataset(0, part), endless=True
            )
        )

    def _resident(self, batch: Any) -> Iterator[Any]:
        """The same batch for ever, as the loop takes it."""
        if self._config.steps_per_execution == 1:
            return itertools.repeat(batch)
        # Only a dataset's own iterator goes into a graph of several steps.
        local = self._strategy.experimental_local_results(batch)

        def dataset(part: ReplicaSlice) -> Any:
            rows = [tf.data.Dataset.from_tensors(local[i]) for i in range(part.count)]
            together = rows[0]
            for each in rows[1:]:
                together = together.concatenate(each)
            return together.cache().repeat()

        return iter(devices.distribute(self._strategy, dataset, endless=True))

    def _train(self, batches: Iterator[Any], steps: int) -> None:
        self._steps.run(batches, self._steps.done + steps, epoch=0, shown=False)
        self._steps.catch_up()

    def _looped(self, batches: Iterator[Any], fewest: int = FEWEST) -> tuple[float, float]:
        """Seconds of a step in the training loop."""
        a_call = self._config.steps_per_execution
        tried = _Watch()
        self._train(batches, FEWEST * a_call)
        each = tried.read()[0] / (FEWEST * a_call)
        calls = self._agreed(WARMING * self._seconds / each) // a_call
        self._train(batches, max(1, calls) * a_call)
        calls = max(fewest, self._agreed(self._seconds / each) // a_call)
        self._steps.clock.restart()
        watch = _Watch()
        self._train(batches, calls * a_call)
        seconds, cpu = watch.read()
        return seconds / (calls * a_call), cpu / (calls * a_call)

    def _calls(self, call: Callable[[], Any]) -> tuple[float, float]:
        """Seconds of a call, one after another without waiting in between, as in training."""
        tried = _Watch()
        wait(self._strategy, call())
        each = tried.read()[0]
        for count in (WARMING, 1 - WARMING):
            number = max(FEWEST, self._agreed(count * self._seconds / each))
            watch = _Watch()
            for _ in range(number):
                result = call()
            wait(self._strategy, result)
        seconds, cpu = watch.read()
        return seconds / number, cpu / number

    def _agreed(self, number: float) -> int:
        """The same number of calls on all workers: they wait for each other in each."""
        return int(min(row[0] for row in self._crew.gather([min(number, ENDLESS)])))

    def _pictures(self, dataset: Any, pictures: float) -> tuple[float, float]:
        """Seconds for so many pictures, of a pipeline whose elements are counts of pictures."""
        found = _rate(iter(dataset), lambda element: int(element.numpy()), self._seconds)
        seconds, cpu, count = found
        return seconds / count * pictures, cpu / count * pictures

    def _elements(self, batches: Iterator[Any]) -> tuple[float, float]:
        """Seconds of a batch."""

        def arrived(batch: Any) -> int:
            wait(self._strategy, batch["weight"])
            return 1

        seconds, cpu, count = _rate(batches, arrived, self._seconds)
        return seconds / count, cpu / count


def _rate(
    elements: Iterator[Any], size: Callable[[Any], int], wanted: float
) -> tuple[float, float, int]:
    """(seconds, processor seconds, size) of elements from the moment one has come after the
    warm-up, which also drains what was prepared before anyone asked for it.
    """
    begun = _Watch()
    since, count, number = None, 0, 0
    for element in elements:
        some = size(element)
        if since is None:
            # A first element that takes long, such as a whole table, is all the warm-up there is.
            if begun.read()[0] >= WARMING * wanted:
                since = _Watch()
            continue
        count += some
        number += 1
        seconds, cpu = since.read()
        if seconds > LONGEST or (seconds >= (1 - WARMING) * wanted and number >= ELEMENTS):
            return seconds, cpu, count
    raise AssertionError("a cut has no end")
