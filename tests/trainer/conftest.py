"""TensorFlow as the trainer's tests want it: two virtual CPU devices, few threads."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared import shared_folder
from tests.trainer import datasets

DOT = np.zeros((1, 1, 3), np.uint8)  # in place of a picture that nobody looks at


@functools.cache
def _two_cpus() -> None:
    """Split the CPU in two.

    TensorFlow allows it before its first operation only, so no test module may run one at import,
    such as an optimizer or a tensor among the values of a parametrize.
    """
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)


@pytest.fixture(autouse=True, scope="session")
def _devices() -> None:
    """Set up before the first test and all fixtures, where TensorFlow is there by now.

    Test modules that use it import it at their top, so it is there before the first test; the
    others never wait for it.
    """
    if "tensorflow" in sys.modules:
        _two_cpus()


@functools.cache
def strategy(replicas: int) -> Any:
    """A MirroredStrategy, one a process: two of them number their collectives alike and clash."""
    import tensorflow as tf

    _two_cpus()
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


@pytest.fixture(scope="session")
def replicas() -> Any:
    """A MirroredStrategy of two replicas."""
    return strategy(2)


@pytest.fixture(scope="session")
def triplet_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset directory of triplets."""
    return str(shared_folder(tmp_path_factory, "triplets", datasets.triplets) / "triplets")


@pytest.fixture(scope="session")
def class_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset directory of two classes."""
    return str(shared_folder(tmp_path_factory, "classes", datasets.class_folders) / "classes")


@pytest.fixture(scope="session")
def digit_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset directory of ten classes, grey."""
    return str(shared_folder(tmp_path_factory, "digits", datasets.digits) / "digits")


def train_in_process(
    patch: pytest.MonkeyPatch,
    config: Any,
    data: str,
    workdir: Any,
    replicas: int = 1,
    pictures: bool = False,
    model: bool = False,
) -> dict[str, Any]:
    """Trains, and returns the report and what was `said`.

    Devices are set up once a process, so what `prepare` would do to them is left out. So is what
    takes half of a short run, where it is not looked at: the drawing of the report's `pictures`,
    and RUN/model, which is saved with them or alone.
    """
    import tensorflow as tf

    from trainer import train as training
    from trainer.inference import finished_run
    from trainer.workers import devices

    def prepare(config: Any, say: Any, cluster: Any) -> Any:
        tf.keras.utils.set_random_seed(config.seed)
        return strategy(replicas)

    patch.setattr(devices, "prepare", prepare)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as of_report:
        if not pictures:
            of_report.setattr(finished_run, "figure_png", lambda figure: finished_run.png(DOT))
            for drawing in ("step_bar_figure", "timeline_figure"):
                of_report.setattr(finished_run, drawing, lambda *_: None)
            if not model:
                of_report.setattr(finished_run, "save_model", lambda _: None)
        report = training.train(config, data, str(workdir), said.append)
    return {**report, "said": said}


@pytest.fixture
def train_here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`train(config, data, workdir, replicas=1, ...)` in this process."""
    return functools.partial(train_in_process, monkeypatch)


@pytest.fixture(scope="session")
def class_runs(class_data: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two runs of two seeds of the `cnn` on the classes."""

    def make(root: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for seed in (0, 1):
                config = datasets.configuration(
                    datasets.CLASSIFICATION,
                    seed=seed,
                    model__backbone="cnn",
                    augment__enabled=True,
                    augment__flip=True,
                )
                train_in_process(patch, config, class_data, root / f"run{seed}", pictures=True)

    root = shared_folder(tmp_path_factory, "class-runs", make)
    return [str(root / f"run{seed}") for seed in (0, 1)]


@pytest.fixture(scope="session")
def triplet_run(triplet_data: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run on the triplets."""

    def make(root: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            config = datasets.configuration(datasets.TRIPLET)
            train_in_process(patch, config, triplet_data, root / "run", pictures=True)

    return str(shared_folder(tmp_path_factory, "triplet-run", make) / "run")
