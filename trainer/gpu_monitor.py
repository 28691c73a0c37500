"""What the GPUs do while training, by NVML, sampled in a thread.

GPUs are numbered as TensorFlow numbers them: by their place in CUDA_VISIBLE_DEVICES. Numbers in
it are taken as NVML's, which CUDA's are where all GPUs of a machine are of one kind or
CUDA_DEVICE_ORDER is PCI_BUS_ID. Slices of a GPU (MIG) have no figures of their own in NVML and are
left out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

PERIOD_SECONDS = 1.0
_LEAVE_SECONDS = 2.0  # for a call of NVML that is under way at the end
_MEGABYTE = 1e6

# Why a clock is below what it could be; not: idle, or set so by somebody.
THROTTLE_REASONS = {
    "nvmlClocksThrottleReasonSwPowerCap": "power cap",
    "nvmlClocksThrottleReasonHwSlowdown": "hardware slowdown",
    "nvmlClocksThrottleReasonSwThermalSlowdown": "heat",
    "nvmlClocksThrottleReasonHwThermalSlowdown": "heat (hardware)",
    "nvmlClocksThrottleReasonHwPowerBrakeSlowdown": "power brake",
}

Say = Callable[[str], None]


class GpuMonitor:
    """Samples the visible GPUs while it is entered; figures are of the time since restart().

    Without a library, a GPU, or a call that a GPU supports, figures are left out, with at most
    one warning.

    Args:
      say: takes the warning; None = nothing is sampled.
      period: seconds between samples.
    """

    def __init__(self, say: Say | None = None, period: float = PERIOD_SECONDS) -> None:
        self._say, self._period = say, period
        self._warned = False
        self._nvml: Any = None
        self._gpus: list[_Gpu] = []
        self._lock = threading.Lock()  # of the samples; never taken within a step
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def restart(self) -> None:
        """Forgets the samples so far."""
        with self._lock:
            for gpu in self._gpus:
                gpu.restart()

    def figures(self) -> dict[str, Any]:
        """Figures by the keys of a row of metrics.jsonl, of those that are known.

        `gpuN_utilisation` (per cent, mean), `gpuN_memory_mb` (the most in use) of
        `gpuN_memory_total_mb`, `gpuN_power_w` and `gpuN_clock_mhz` (of the multiprocessors; means),
        `gpuN_throttled` (words, where there were reasons).
        """
        with self._lock:
            return {
                f"gpu{number}_{name}": value
                for number, gpu in enumerate(self._gpus)
                for name, value in gpu.figures().items()
            }

    def sample(self) -> None:
        """Takes one sample of each GPU."""
        for gpu in self._gpus:
            taken = gpu.read(self._warn)
            with self._lock:
                gpu.add(taken)

    def __enter__(self) -> GpuMonitor:
        if self._say is not None and self._open():
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join(_LEAVE_SECONDS)

    def _open(self) -> bool:
        try:
            import pynvml
        except ImportError as error:
            self._warn(error)
            return False
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            handles = visible(pynvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
        except pynvml.NVMLError as error:
            self._warn(error)
            return False
        self._gpus = [_Gpu(pynvml, handle) for handle in handles]
        return bool(self._gpus)

    def _watch(self) -> None:
        while not self._done.wait(self._period):
            self.sample()

    def _warn(self, error: Exception) -> None:
        if not self._warned and self._say:
            self._say(f"warning: some figures of the GPUs are left out (NVML: {error})")
        self._warned = True


class _Gpu:
    """One GPU: a reading a quantity, until it fails; sums of what was read."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._reasons = {getattr(nvml, name): words for name, words in THROTTLE_REASONS.items()}
        self._readings: dict[str, Callable[[], Any]] = {
            "utilisation": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "memory": lambda: nvml.nvmlDeviceGetMemoryInfo(handle),
            "power": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,  # milliwatts
            "clock": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "throttled": lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        }
        self.restart()

    def restart(self) -> None:
        self._samples: dict[str, list[Any]] = {}

    def read(self, warn: Callable[[Exception], None]) -> dict[str, Any]:
        found = {}
        for name, reading in list(self._readings.items()):
            try:
                found[name] = reading()
            except self._nvml.NVMLError as error:
                del self._readings[name]
                if getattr(error, "value", None) != self._nvml.NVML_ERROR_NOT_SUPPORTED:
                    warn(error)
        return found

    def add(self, sample: dict[str, Any]) -> None:
        for name, value in sample.items():
            self._samples.setdefault(name, []).append(value)

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, key in (
            ("utilisation", "utilisation"),
            ("power", "power_w"),
            ("clock", "clock_mhz"),
        ):
            if values := self._samples.get(name):
                found[key] = sum(values) / len(values)
        if infos := self._samples.get("memory"):
            found["memory_mb"] = max(info.used for info in infos) / _MEGABYTE
            found["memory_total_mb"] = infos[-1].total / _MEGABYTE
        bits = 0
        for reasons in self._samples.get("throttled", ()):
            bits |= reasons
        if words := [words for bit, words in self._reasons.items() if bits & bit]:
            found["throttled"] = words
        return found


def visible(nvml: Any, variable: str | None) -> list[Any]:
    """NVML's handles of the GPUs that CUDA_VISIBLE_DEVICES names, in its order.

    Args:
      nvml: the module, initialised.
      variable: its value: numbers or (the beginnings of) UUIDs; None = it is not set: all.
    """
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    if variable is None:
        return handles
    found: list[Any] = []
    for word in (each.strip() for each in variable.split(",")):
        if word.startswith("MIG-"):
            continue
        if word.startswith("GPU-"):
            matches = [each for each in handles if nvml.nvmlDeviceGetUUID(each).startswith(word)]
        elif word.isascii() and word.isdigit():
            matches = handles[int(word) : int(word) + 1]
        else:
            matches = []
        if len(matches) != 1:
            break  # CUDA sees those before a word that names nothing, and no other
        found += matches
    return found


def in_words(figures: dict[str, Any]) -> str:
    """The GPUs together in a few words, for a line: `GPUs 93 %, 290 W`; '' without figures."""

    def values(name: str) -> list[Any]:
        return [value for key, value in figures.items() if key.endswith(name)]

    words = []
    if busy := values("_utilisation"):
        words.append(f"{sum(busy) / len(busy):.0f} %")
    if used := values("_memory_mb"):
        total = max(values("_memory_total_mb"))
        words.append(f"{max(used) / 1000:.1f} of {total / 1000:.0f} GB")
    if power := values("_power_w"):
        words.append(f"{sum(power):.0f} W")
    if reasons := sorted({word for each in values("_throttled") for word in each}):
        words.append(f"slowed by {' and '.join(reasons)}")
    return f"GPU{'s' if len(busy) > 1 else ''} {', '.join(words)}" if words else ""
