"""GPU figures from a made-up NVML: no test here has seen a GPU."""

import sys
import threading
import types

import pytest

from trainer.monitoring import gpu_readings
from trainer.monitoring.gpu_monitor import GpuMonitor, gpu_summary, visible


class NVMLError(Exception):
    """As the library's: `value` is its number."""

    def __init__(self, value, words="fault"):
        super().__init__(words)
        self.value = value


class Nvml(types.ModuleType):
    """GPUs "GPU-a1", "GPU-b2", "GPU-b3"; readings are lists by GPU, used up sample by sample."""

    NVMLError = NVMLError
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_CLOCK_SM = 1
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 1, 0

    def __init__(self):
        super().__init__("pynvml")
        for bit, name in enumerate(gpu_readings.THROTTLE_REASONS):
            setattr(self, name, 1 << bit)
        self.uuids = ["GPU-a1", "GPU-b2", "GPU-b3"]
        self.readings = {}
        self.calls = 0

    def read(self, name, handle):
        self.calls += 1
        values = self.readings.get((name, handle))
        if not values:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        value = values.pop(0) if len(values) > 1 else values[0]
        if isinstance(value, Exception):
            raise value
        return value

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetUUID(self, handle):
        return self.uuids[handle]

    def nvmlDeviceGetUtilizationRates(self, handle):
        return types.SimpleNamespace(gpu=self.read("utilisation", handle))

    def nvmlDeviceGetMemoryInfo(self, handle):
        return types.SimpleNamespace(used=self.read("memory", handle), total=80e9)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self.read("power", handle)

    def nvmlDeviceGetClockInfo(self, handle, kind):
        assert kind == self.NVML_CLOCK_SM
        return self.read("clock", handle)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return self.read("reasons", handle)

    def nvmlDeviceGetMaxClockInfo(self, handle, kind):
        assert kind == self.NVML_CLOCK_SM
        return self.read("most clock", handle)

    def nvmlDeviceGetCurrPcieLinkWidth(self, handle):
        return self.read("lanes", handle)

    def nvmlDeviceGetCurrPcieLinkGeneration(self, handle):
        return self.read("generation", handle)

    def nvmlDeviceGetMaxPcieLinkWidth(self, handle):
        return self.read("most lanes", handle)

    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle):
        return self.read("newest generation", handle)

    def nvmlDeviceGetTotalEccErrors(self, handle, kind, counter):
        assert (kind, counter) == (self.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, self.NVML_VOLATILE_ECC)
        return self.read("errors", handle)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [None] * self.read("processes", handle)


READINGS = (
    "utilisation", "memory", "power", "clock", "reasons", "most clock", "lanes", "most lanes",
    "errors", "processes",
)  # fmt: skip


@pytest.fixture
def nvml(monkeypatch):
    found = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", found)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    return found


def sampled(said, samples):
    """A monitor whose thread does not come in between, after so many samples."""
    with GpuMonitor(said.append, period=3600) as monitor:
        for _ in range(samples):
            monitor.sample()
        return monitor


def test_figures_are_means_but_the_most_memory_and_all_reasons(nvml):
    """Two samples of GPU 1, which is gpu0 here: 90 and 70 %, 61 and 59 GB of 80, 300 and 280 W
    (in milliwatts), 1,400 and 1,200 MHz; idle (no reason of ours), then power cap and heat.
    """
    nvml.readings = {
        ("utilisation", 1): [90, 70],
        ("memory", 1): [61e9, 59e9],
        ("power", 1): [300_000, 280_000],
        ("clock", 1): [1400, 1200],
        ("reasons", 1): [1 << 40, 0b101],
    }
    said = []
    monitor = sampled(said, 2)
    assert monitor.figures() == {
        "gpu0_utilisation": 80,
        "gpu0_memory_mb": 61_000,
        "gpu0_memory_total_mb": 80_000,
        "gpu0_power_w": 290,
        "gpu0_clock_mhz": 1300,
        "gpu0_throttled": ["power cap", "heat"],
        "gpu0_throttled_fraction": 0.5,
    }
    assert said == []
    monitor.restart()
    assert monitor.figures() == {}


def test_clock_link_errors_and_other_processes_are_told_against_what_could_be(nvml):
    """900 of 1,800 MHz; 8 of 16 lanes once awake, of generation 1 while it rests and then 3 of 4;
    its own process and one more.
    """
    nvml.readings = {
        ("clock", 1): [900],
        ("most clock", 1): [1800],
        ("lanes", 1): [8],
        ("most lanes", 1): [16],
        ("generation", 1): [1, 3],
        ("newest generation", 1): [4],
        ("errors", 1): [2],
        ("processes", 1): [2, 1],
    }
    assert sampled([], 2).figures() == {
        "gpu0_clock_mhz": 900,
        "gpu0_clock_fraction": 0.5,
        "gpu0_link": [8, 3],
        "gpu0_link_most": [16, 4],
        "gpu0_ecc_errors": 2,
        "gpu0_other_processes": 1,
    }


def test_a_call_that_a_gpu_does_not_support_is_left_out_in_silence_and_not_made_again(nvml):
    nvml.readings = {("utilisation", 1): [50]}
    said = []
    monitor = sampled(said, 3)
    assert monitor.figures() == {"gpu0_utilisation": 50}
    assert said == []
    assert nvml.calls == len(READINGS) + 1 + 1


def test_an_error_in_the_middle_is_said_once_and_the_rest_goes_on(nvml):
    """Power fails at the second sample, the clock at the third."""
    lost = NVMLError(15, "GPU is lost")
    nvml.readings = {
        ("utilisation", 1): [50],
        ("power", 1): [200_000, lost],
        ("clock", 1): [1000, 1000, lost],
    }
    said = []
    found = sampled(said, 4).figures()
    assert found == {"gpu0_utilisation": 50, "gpu0_power_w": 200, "gpu0_clock_mhz": 1000}
    (warning,) = said
    assert "GPU is lost" in warning


def test_no_library_is_one_warning_and_no_figures(nvml):
    nvml.nvmlInit = lambda: (_ for _ in ()).throw(NVMLError(12, "NVML Shared Library Not Found"))
    said = []
    assert sampled(said, 1).figures() == {}
    (warning,) = said
    assert "NVML Shared Library Not Found" in warning


def test_the_real_module_without_a_driver_is_one_warning(monkeypatch):
    """nvidia-ml-py itself, on a machine that has no GPU; where there is one, figures."""
    said = []
    with GpuMonitor(said.append) as monitor:
        monitor.sample()
        assert bool(said) != bool(monitor.figures())
    assert len(said) <= 1


def test_without_gpus_in_use_the_library_is_not_even_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # its import would fail
    with GpuMonitor(None) as monitor:
        monitor.sample()
        assert monitor.figures() == {}


def test_the_thread_samples_and_ends(nvml):
    sampled_twice = threading.Event()

    class Readings(dict):
        def get(self, key):
            if nvml.calls > 2 * len(READINGS):
                sampled_twice.set()
            return [10]

    nvml.readings = Readings()
    before = threading.active_count()
    with GpuMonitor(print, period=0.001) as monitor:
        assert sampled_twice.wait(30)
    assert threading.active_count() == before
    assert monitor.figures()["gpu0_utilisation"] == 10


@pytest.mark.parametrize(
    ("variable", "handles"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        (" 1 , 2 ", [1, 2]),
        ("0,-1,2", [0]),
        ("0,7,2", [0]),
        ("GPU-b3,GPU-a1", [2, 0]),
        ("GPU-a", [0]),
        ("GPU-b", []),
        ("GPU-zz,0", []),
        ("MIG-1f,2", [2]),
        ("none", []),
    ],
)
def test_visible_gpus_are_those_that_cuda_sees_in_its_order(nvml, variable, handles):
    """A word that names no GPU, or two, ends the list, as in CUDA; slices are left out."""
    assert visible(nvml, variable) == handles


def test_words_are_of_all_gpus_together():
    """Mean utilisation, the fullest memory, the sum of the power."""
    figures = {
        "gpu0_utilisation": 90.0,
        "gpu1_utilisation": 70.0,
        "gpu0_memory_mb": 41_000.0,
        "gpu1_memory_mb": 61_234.0,
        "gpu0_memory_total_mb": 80_000.0,
        "gpu1_memory_total_mb": 80_000.0,
        "gpu0_power_w": 200.0,
        "gpu1_power_w": 250.4,
        "gpu1_throttled": ["heat"],
        "images_per_second": 3.0,
    }
    assert gpu_summary(figures) == "GPUs 80 %, 61.2 of 80 GB, 450 W, slowed by heat"
    assert gpu_summary({"gpu0_power_w": 200.0}) == "GPU 200 W"
    assert gpu_summary({"images_per_second": 3.0}) == ""
