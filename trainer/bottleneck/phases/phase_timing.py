"""Timing of phases, one after another in rounds. No TensorFlow here."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from preprocess.shell.progress import terminal_bar
from trainer.bottleneck.phases.measurements import Timing

WARMING = 0.35  # the share of it that does not count: buffers are filled, threads come up
LONGEST = 20.0  # seconds of a phase in a round, where a step takes very long
FEWEST = 3  # steps that count
ELEMENTS = 8  # of a pipeline, at least: reads that run side by side also end side by side

Phase = Callable[[], tuple[float, float]]  # gives seconds on the clock and of processor time
Element = TypeVar("Element")


class Watch:
    """Seconds on the clock and of this process's cores, from the moment it is made."""

    def __init__(self) -> None:
        self._seconds, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """(seconds on the clock, seconds of processor time) since then."""
        return time.perf_counter() - self._seconds, time.process_time() - self._cpu


class PhaseTimings:
    """Figures by phase, a pair a round."""

    def __init__(self) -> None:
        self._figures: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, name: str, figures: tuple[float, float]) -> None:
        """Adds a round's (seconds on the clock, seconds of processor time)."""
        self._figures[name].append(figures)

    def names(self, prefix: str) -> list[str]:
        """The phases whose names begin with a prefix."""
        return [name for name in self._figures if name.startswith(prefix)]

    def timing(self, name: str) -> Timing:
        """All rounds of a phase."""
        seconds, cpu = zip(*self._figures[name], strict=True)
        return Timing(seconds, cpu)


def time_in_turn(timings: PhaseTimings, phases: Mapping[str, Phase], rounds: int) -> None:
    """Runs all phases one after another, again in each round."""
    with terminal_bar(total=rounds * len(phases), unit="phase", leave=False) as bar:
        for _, (name, phase) in itertools.product(range(rounds), phases.items()):
            bar.set_postfix_str(name)
            timings.add(name, phase())
            bar.update()


def time_elements(
    elements: Iterator[Element], size: Callable[[Element], int], wanted: float
) -> tuple[float, float, int]:
    """(seconds, processor seconds, size) of elements from the moment one has come after the
    warm-up, which also drains what was prepared before anyone asked for it.
    """
    begun = Watch()
    since, count, number = None, 0, 0
    for element in elements:
        some = size(element)
        if since is None:
            # A first element that takes long, such as a whole table, is all the warm-up there is.
            if begun.read()[0] >= WARMING * wanted:
                since = Watch()
            continue
        count += some
        number += 1
        seconds, cpu = since.read()
        if seconds > LONGEST or (seconds >= (1 - WARMING) * wanted and number >= ELEMENTS):
            return seconds, cpu, count
    raise AssertionError("a cut has no end")
