"""`tf.keras` is Keras 2 wherever the trainer is imported, in a process without our variable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.preprocess.made import ROOT

KERAS_OF_2 = (
    "import {first}\nimport {second}\nimport tensorflow as tf\n"
    "import sys; print(sys.modules[tf.keras.Model.__module__.split('.')[0]].__version__)"
)


@pytest.mark.parametrize(
    ("first", "second"), [("trainer", "tensorflow"), ("tensorflow", "trainer.data")]
)
def test_it_is_keras_2_whichever_is_imported_first(first: str, second: str) -> None:
    environment = {n: v for n, v in os.environ.items() if n != "TF_USE_LEGACY_KERAS"}
    code = KERAS_OF_2.format(first=first, second=second)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("2.")
