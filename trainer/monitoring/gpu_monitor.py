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
from types import ModuleType, TracebackType
from typing import Any

from preprocess.shell.json_text import JsonObject
from trainer.monitoring.gpu_readings import Gpu

PERIOD_SECONDS = 1.0
_LEAVE_SECONDS = 2.0  # for a call of NVML that is under way at the end

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
        self._nvml: ModuleType | None = None
        self._gpus: list[Gpu] = []
        self._lock = threading.Lock()  # of the samples; never taken within a step
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def restart(self) -> None:
        """Forgets the samples so far."""
        with self._lock:
            for gpu in self._gpus:
                gpu.restart()

    def figures(self) -> JsonObject:
        """Figures by the keys of a row of metrics.jsonl, of those that are known.

        `gpuN_` and a key of trainer.monitoring.gpu_readings.Gpu.figures().
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
        self._gpus = [Gpu(pynvml, handle) for handle in handles]
        return bool(self._gpus)

    def _watch(self) -> None:
        while not self._done.wait(self._period):
            self.sample()

    def _warn(self, error: Exception) -> None:
        if not self._warned and self._say:
            self._say(f"warning: some figures of the GPUs are left out (NVML: {error})")
        self._warned = True


def visible(nvml: ModuleType, variable: str | None) -> list[object]:
    """NVML's handles of the GPUs that CUDA_VISIBLE_DEVICES names, in its order.

    Args:
      nvml: the module, initialised.
      variable: its value: numbers or (the beginnings of) UUIDs; None = it is not set: all.
    """
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    if variable is None:
        return handles
    gpus: list[object] = []
    for word in (part.strip() for part in variable.split(",")):
        if word.startswith("MIG-"):
            continue
        if word.startswith("GPU-"):
            matches = [
                handle for handle in handles if nvml.nvmlDeviceGetUUID(handle).startswith(word)
            ]
        elif word.isascii() and word.isdigit():
            matches = handles[int(word) : int(word) + 1]
        else:
            matches = []
        if len(matches) != 1:
            break  # CUDA sees those before a word that names nothing, and no other
        gpus += matches
    return gpus


def gpu_summary(figures: JsonObject) -> str:
    """The GPUs together, short, for a line: `GPUs 93 %, 290 W`; '' without figures."""

    def values(name: str) -> list[Any]:
        return [value for key, value in figures.items() if key.endswith(name)]

    parts = []
    if busy := values("_utilisation"):
        parts.append(f"{sum(busy) / len(busy):.0f} %")
    if used := values("_memory_mb"):
        total = max(values("_memory_total_mb"))
        parts.append(f"{max(used) / 1000:.1f} of {total / 1000:.0f} GB")
    if power := values("_power_w"):
        parts.append(f"{sum(power):.0f} W")
    throttled = values("_throttled")
    if reasons := sorted({reason for reasons_of_gpu in throttled for reason in reasons_of_gpu}):
        parts.append(f"slowed by {' and '.join(reasons)}")
    return f"GPU{'s' if len(busy) > 1 else ''} {', '.join(parts)}" if parts else ""


def memory_in_use() -> list[tuple[int, int]]:
    """(bytes in use, bytes) of each visible GPU's memory; [] where NVML does not tell."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = visible(pynvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
        found = [pynvml.nvmlDeviceGetMemoryInfo(handle) for handle in handles]
    except Exception:  # no library, driver or right: a check does without
        return []
    return [(int(each.used), int(each.total)) for each in found]
