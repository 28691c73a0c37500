"""`tf.keras` is Keras 2 wherever the trainer is imported, in a process without our variable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.preprocess.made import ROOT

KERAS_OF_2 = (
    "import {first}\nimport {second}\nimport tensorflow as tf\n"
    "assert hasattr(tf.keras.optimizers, 'legacy')\n"  # Keras 3 has no such optimizers
    "print(tf.keras.layers.Dense(1).__module__)"
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
    assert done.stdout.split(".")[0] in ("keras", "tf_keras")
