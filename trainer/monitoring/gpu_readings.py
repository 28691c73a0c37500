"""One GPU's readings by NVML, and what they come to over an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from preprocess.shell.json_text import JsonObject

_MEGABYTE = 1e6
# Why a clock is below what it could be; not: idle, or set so by somebody.
THROTTLE_REASONS = {
    "nvmlClocksThrottleReasonSwPowerCap": "power cap",
    "nvmlClocksThrottleReasonHwSlowdown": "hardware slowdown",
    "nvmlClocksThrottleReasonSwThermalSlowdown": "heat",
    "nvmlClocksThrottleReasonHwThermalSlowdown": "heat (hardware)",
    "nvmlClocksThrottleReasonHwPowerBrakeSlowdown": "power brake",
}


class Gpu:
    """One GPU: a reading a quantity, until it fails; sums of what was read."""

    def __init__(self, nvml: ModuleType, handle: object) -> None:
        self._nvml = nvml
        self._reasons = {getattr(nvml, name): reason for name, reason in THROTTLE_REASONS.items()}
        self._readings: dict[str, Callable[[], Any]] = {
            "utilisation": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "memory": lambda: nvml.nvmlDeviceGetMemoryInfo(handle),
            "power": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,  # milliwatts
            "clock": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "throttled": lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
            "most_clock": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
            "link": lambda: (
                nvml.nvmlDeviceGetCurrPcieLinkWidth(handle),
                nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle),
            ),
            "most_link": lambda: (
                nvml.nvmlDeviceGetMaxPcieLinkWidth(handle),
                nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle),
            ),
            "errors": lambda: nvml.nvmlDeviceGetTotalEccErrors(
                handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
            ),
            # Of a container the process ids are others than those that NVML knows.
            "others": lambda: max(0, len(nvml.nvmlDeviceGetComputeRunningProcesses(handle)) - 1),
        }
        self.restart()

    def restart(self) -> None:
        """Forgets the samples so far."""
        self._samples: dict[str, list[Any]] = {}

    def read(self, warn: Callable[[Exception], None]) -> JsonObject:
        """One sample; a reading that fails is not made again, and `warn` takes why."""
        sample = {}
        for name, reading in list(self._readings.items()):
            try:
                sample[name] = reading()
            except self._nvml.NVMLError as error:
                del self._readings[name]
                if getattr(error, "value", None) != self._nvml.NVML_ERROR_NOT_SUPPORTED:
                    warn(error)
        return sample

    def add(self, sample: JsonObject) -> None:
        """Keeps a sample."""
        for name, value in sample.items():
            self._samples.setdefault(name, []).append(value)

    def figures(self) -> JsonObject:
        """What is known of it, of the time since restart().

        `utilisation` (per cent, mean), `memory_mb` (the most in use) of `memory_total_mb`,
        `power_w` and `clock_mhz` (of the multiprocessors; means), `clock_fraction` of the highest
        clock it has, `throttled` (reasons, where there were any), `throttled_fraction` of the
        samples; `link` and `link_most`, [lanes, generation] of PCI Express, the best seen, for a
        GPU that rests lets its link sleep; `ecc_errors` that could not be corrected since the
        driver was loaded, `other_processes` that compute on
        it besides this one, the most at a time.
        """
        figures: JsonObject = {}
        for name, key in (
            ("utilisation", "utilisation"),
            ("power", "power_w"),
            ("clock", "clock_mhz"),
        ):
            if values := self._samples.get(name):
                figures[key] = sum(values) / len(values)
        if infos := self._samples.get("memory"):
            figures["memory_mb"] = max(info.used for info in infos) / _MEGABYTE
            figures["memory_total_mb"] = infos[-1].total / _MEGABYTE
        if (most := max(self._samples.get("most_clock", [0]))) and "clock_mhz" in figures:
            figures["clock_fraction"] = figures["clock_mhz"] / most
        for name, key in (
            ("link", "link"),
            ("most_link", "link_most"),
            ("errors", "ecc_errors"),
            ("others", "other_processes"),
        ):
            if values := self._samples.get(name):
                best = max(values)
                figures[key] = list(best) if isinstance(best, tuple) else best
        bits = 0
        ours = sum(self._reasons)
        throttled: Sequence[int] = self._samples.get("throttled", ())
        for each in throttled:
            bits |= each
        if throttled:
            held = sum(bool(each & ours) for each in throttled)
            figures["throttled_fraction"] = held / len(throttled)
        if reasons := [reason for bit, reason in self._reasons.items() if bits & bit]:
            figures["throttled"] = reasons
        return figures
