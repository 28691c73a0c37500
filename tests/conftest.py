"""For all tests: what is set before any of them.

TensorFlow's start-up lines stay out of the output. It is not imported here: tests that do not use
it do not wait for it.
"""

import gc
import os
import random
import signal
import sys
import time

import pytest
from hypothesis import HealthCheck, settings

from trainer.compat import legacy_keras as legacy_keras  # before a test module's TensorFlow

# The same examples each time, however busy the machine is: `make fuzz` looks for new ones.
settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

# A collection walks through all that TensorFlow and the test modules made at import, a tenth of the
# suite's time. What the tests themselves leave behind is collected, but not as often.
gc.set_threshold(100_000, 20, 100)

# Read when TensorFlow is first imported, so before any test module.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# In the background of a script Ctrl-C is ignored, and below nohup a closed terminal, by all
# processes that a test starts as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first: of several processes, none is alone with one at the end."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """What the modules hold stays to the end, so no collection needs to look at it again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before the fixtures, of which many build networks
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The same random numbers for each test, and none that begins when the time is over.

    Keras draws the seeds of a network's first weights from a generator of its own once a test has
    seeded it, and before that from Python's: so a network that a test builds has the same ones on
    every machine, whichever tests ran before. Where the time of all tests is limited, what comes
    too late is skipped by name.
    """
    random.seed(0)
    for name in ("keras.src.backend", "tf_keras.src.backend"):
        if generator := getattr(sys.modules.get(name), "_SEED_GENERATOR", None):
            generator.generator = None
    last = os.environ.get("SHARDLINE_LAST_TEST")
    if last and time.time() > float(last):
        pytest.skip("the time for the tests is over")


@pytest.fixture(autouse=True, scope="session")
def _notes_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What commands note for their user stays out of the home of whoever runs the tests."""
    os.environ["SHARDLINE_STATE"] = str(tmp_path_factory.mktemp("user-state"))
