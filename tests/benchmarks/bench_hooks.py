"""The time that always-on monitoring takes of a step, each hook by itself.

    python -m tests.benchmarks.bench_hooks [--calls=20000] [--rounds=5] [--json]

What `trainer train` does around each call from Python, besides the call: laps of the clock, the
progress file and bar, the watchdog, the look whether a trace is wanted; on GPUs, what the NVML
thread uses, with a made-up NVML (this was not run on a GPU) that answers at once, so that it is our
own share. Each hook runs in a loop of its own; a figure is the least of the rounds, since whatever
else the machine does only adds to it. The bar gets its words late in a long epoch. What happens by
the clock (the file is written once a second, the bar drawn every 0.1 s, GPUs sampled once a second)
or once in 20 calls counts by its share.

The bars: together at most 1 % of a step of 50 ms, 500 microseconds; the timeline, from which the
time of a run is accounted for, at most 0.1 % of a step of 1 ms, of which it notes every fiftieth.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from tqdm import tqdm

from trainer.monitoring import capture_requests, gpu_monitor, gpu_readings, timeline
from trainer.monitoring.capture_requests import CaptureInbox
from trainer.monitoring.gpu_monitor import GpuMonitor
from trainer.monitoring.profiling import StepProfiler, Window
from trainer.monitoring.timeline import Activity, Timeline
from trainer.monitoring.timing import HOST, STEP, WAIT, StepClock
from trainer.training.epoch_row import bar_in_words
from trainer.training.progress import PERIOD_SECONDS, ProgressFile
from trainer.training.steps import LOOK_AT_LOSS_EVERY
from trainer.workers.watchdog import Watchdog

STEP_SECONDS = 0.050
BAR_SECONDS = 0.01 * STEP_SECONDS
SHORT_SECONDS = 0.001  # a step of which the timeline is to take next to nothing
SHORT_BAR_SECONDS = 0.001 * SHORT_SECONDS
TOLD, NOTED = "timeline, how far the steps are", "timeline, noted in its file"
GPUS = 8
CALLS_BEFORE = 1_000_000  # of the epoch, when the bar gets its words

Hook = Callable[[int], Any]
Hooks = dict[str, tuple[Hook, float]]  # by name; how often a step


@contextlib.contextmanager
def hooks(folder: Path) -> Iterator[Hooks]:
    """What runs around a call: each takes the number of the call."""
    clock, warm = StepClock(), StepClock()
    clock.start()
    inbox = CaptureInbox(folder)
    profiler = StepProfiler(folder, inbox=inbox)
    # One that waits all the time, as it does until its step comes.
    profiler.plan([Window(10**9, 10)], 1)
    progress = ProgressFile(folder / "progress.json", 10**9)
    warm.start()
    for _ in range(CALLS_BEFORE):
        warm.lap(STEP)
        warm.end(1)
    with (
        Watchdog(600, print, leave=lambda _: None) as watchdog,
        tqdm(total=10**9, file=io.StringIO(), disable=False) as bar,
        monitor() as gpus,
        Timeline(folder / "timeline" / "worker-0.jsonl") as line,
    ):
        line.enter(Activity.STEPS)

        def laps(call: int) -> None:
            clock.lap(HOST)
            clock.lap(WAIT)
            clock.lap(STEP)
            if call % LOOK_AT_LOSS_EVERY == 0:
                clock.lap(HOST)
                clock.caught_up()
            clock.lap(HOST)
            clock.lap(STEP)
            clock.end(1)

        def traces(call: int) -> None:
            profiler.before(call, 10**6, False, False)
            profiler.after(call + 1)
            _ = profiler.is_over or profiler.is_over

        def words(call: int) -> None:
            bar.set_postfix_str(bar_in_words(0.5, warm, 64, 2, gpus), refresh=False)

        def sample(call: int) -> None:
            gpus.restart()
            gpus.sample()

        def told(call: int) -> None:
            line._due = math.inf
            line.stepped(call, clock.spent[WAIT], clock.spent[HOST])

        def noted(call: int) -> None:
            line._due = 0.0
            line.stepped(call, clock.spent[WAIT], clock.spent[HOST])

        progress.update(0, 1, 0.0)
        yield {
            "clock": (laps, 1),
            TOLD: (told, 1),
            NOTED: (noted, notes_a_step(STEP_SECONDS)),
            "watchdog": (lambda call: watchdog.alive(f"step {call}"), 1),
            "traces, planned and requested": (traces, 1),
            "requests for traces, looked for": (
                lambda call: inbox.look(at_once=True),
                STEP_SECONDS / capture_requests.PERIOD_SECONDS,
            ),
            "progress file, looked whether due": (lambda call: progress.update(call, 1, 0.0), 1),
            "progress file, written": (
                lambda call: progress.update(call, 1, 0.0, last=True),
                STEP_SECONDS / PERIOD_SECONDS,
            ),
            "bar, counted": (lambda call: bar.update(1), 1),
            "bar, drawn": (lambda call: bar.refresh(), STEP_SECONDS / bar.mininterval),
            "bar, its words": (words, 1 / LOOK_AT_LOSS_EVERY),
            f"NVML, {GPUS} GPUs": (sample, STEP_SECONDS / gpu_monitor.PERIOD_SECONDS),
        }


@contextlib.contextmanager
def monitor() -> Iterator[GpuMonitor]:
    """A monitor of GPUS made-up GPUs, whose thread sleeps; sampled once."""
    nvml: Any = types.ModuleType("pynvml")
    nvml.NVMLError, nvml.NVML_CLOCK_SM, nvml.NVML_ERROR_NOT_SUPPORTED = OSError, 1, 3
    for bit, name in enumerate(gpu_readings.THROTTLE_REASONS):
        setattr(nvml, name, 1 << bit)
    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetCount = lambda: GPUS
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index
    nvml.nvmlDeviceGetUtilizationRates = lambda handle: types.SimpleNamespace(gpu=93)
    nvml.nvmlDeviceGetMemoryInfo = lambda handle: types.SimpleNamespace(used=61e9, total=80e9)
    nvml.nvmlDeviceGetPowerUsage = lambda handle: 290_000
    nvml.nvmlDeviceGetClockInfo = lambda handle, kind: 1410
    nvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda handle: 1
    nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED = nvml.NVML_VOLATILE_ECC = 0
    nvml.nvmlDeviceGetMaxClockInfo = lambda handle, kind: 1980
    nvml.nvmlDeviceGetCurrPcieLinkWidth = nvml.nvmlDeviceGetMaxPcieLinkWidth = lambda handle: 16
    nvml.nvmlDeviceGetCurrPcieLinkGeneration = lambda handle: 4
    nvml.nvmlDeviceGetMaxPcieLinkGeneration = lambda handle: 4
    nvml.nvmlDeviceGetTotalEccErrors = lambda handle, kind, counter: 0
    nvml.nvmlDeviceGetComputeRunningProcesses = lambda handle: [None]
    with (
        mock.patch.dict(sys.modules, {"pynvml": nvml}),
        mock.patch.dict("os.environ", {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(GPUS)))}),
        GpuMonitor(print, period=3600) as found,
    ):
        found.sample()
        yield found


def seconds_a_call(hook: Hook, calls: int, rounds: int) -> float:
    """Seconds of one call, the least of the rounds, less those of the loop around it."""

    def once(run: Hook) -> float:
        begun = time.perf_counter()
        for call in range(calls):
            run(call)
        return (time.perf_counter() - begun) / calls

    return max(0.0, min(once(hook) - once(_nothing) for _ in range(rounds)))


def _nothing(call: int) -> None:
    """The loop's own time."""


def measure(calls: int, rounds: int) -> dict[str, float]:
    """Seconds a step of each hook."""
    with tempfile.TemporaryDirectory() as folder, hooks(Path(folder)) as found:
        return {
            name: a_step
            * seconds_a_call(hook, max(20, calls // (1 if a_step == 1 else 20)), rounds)
            for name, (hook, a_step) in found.items()
        }


def notes_a_step(seconds: float) -> float:
    """How often a step of a length is noted: by its loop, and by a thread meanwhile."""
    return min(1.0, seconds / timeline.STEP_SECONDS) + seconds / timeline.BEAT_SECONDS


def timeline_of_a_short_step(found: Mapping[str, float]) -> float:
    """Seconds that the timeline takes of a step of SHORT_SECONDS, by those of STEP_SECONDS."""
    return found[TOLD] + found[NOTED] * notes_a_step(SHORT_SECONDS) / notes_a_step(STEP_SECONDS)


def main() -> None:
    """Measures and prints: a table, or one JSON object with --json; 1 above the bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    found = measure(arguments.calls, arguments.rounds)
    total, short = sum(found.values()), timeline_of_a_short_step(found)
    if arguments.json:
        microseconds = {name: 1e6 * seconds for name, seconds in found.items()}
        bars = {"bar": 1e6 * BAR_SECONDS, "short_bar": 1e6 * SHORT_BAR_SECONDS}
        print(json.dumps({"microseconds": microseconds, "short": 1e6 * short, **bars}))
    else:
        for name, seconds in found.items():
            print(f"  {name:34s} {1e6 * seconds:8.2f} us")
        print(
            f"  {'together':34s} {1e6 * total:8.2f} us, {total / STEP_SECONDS:.3%} of a step of "
            f"{1000 * STEP_SECONDS:g} ms; bar {1e6 * BAR_SECONDS:g} us"
        )
        print(
            f"  {'the timeline of a step of 1 ms':34s} {1e6 * short:8.2f} us, "
            f"{short / SHORT_SECONDS:.3%} of it; bar {1e6 * SHORT_BAR_SECONDS:g} us"
        )
    sys.exit(0 if total <= BAR_SECONDS and short <= SHORT_BAR_SECONDS else 1)


if __name__ == "__main__":
    main()
