"""The examples of a user's own code in docs/extending.md, all at once: resumed, on one replica and
on two, exported.
"""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import own_examples
from tests.trainer import datasets
from tests.trainer.conftest import train_in_process
from tests.trainer.kills import Kill, check_killed, live
from tests.trainer.training.test_own_stepping import back_to_epoch
from tests.trainer.workers.double_precision import FLOAT32
from trainer.config import with_changes
from trainer.config.own_code import own_code
from trainer.inference.export import export
from trainer.inference.serving import Serving
from trainer.inference.trained_run import open_run

STEPS = 6  # of two epochs
# A process that has TensorFlow, and neither the project nor the files.
ELSEWHERE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("trainer", "preprocess"):
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())
import numpy
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1]).signatures["pixels"]
numpy.save(sys.argv[3], model(images=tf.constant(numpy.load(sys.argv[2])))["probabilities"])
"""


def configuration(folder, **changes):
    config = datasets.configuration(datasets.CLASSIFICATION, deterministic=True, **changes)
    return with_changes(config, dict(own_examples.write(folder)))


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def runs(mine, class_data):
    """Of two epochs: on one replica and on two; and the first of these again from the state after
    its first epoch.
    """
    config = configuration(mine, checkpoint__keep=5)
    with pytest.MonkeyPatch.context() as patch:
        whole = train_in_process(patch, config, class_data, mine / "whole", model=True)
        two = train_in_process(patch, config, class_data, mine / "two", 2)
        back_to_epoch(mine / "whole", 1)
        again = train_in_process(patch, config, class_data, mine / "whole")
    return {"whole": whole, "two": two, "again": again}


def test_they_resume_with_the_same_weights(runs):
    assert any(f"step 3 of {STEPS}" in line for line in runs["again"]["said"])
    assert runs["again"]["weights_digest"] == runs["whole"]["weights_digest"]


def test_two_replicas_have_the_curves_of_one(runs, mine):
    """To rounding: no layer of the examples has batch statistics."""
    one, two = rows(mine / "whole"), rows(mine / "two")
    names = [name for name in one[0] if name.endswith(("loss", "accuracy", "error"))]
    assert "val_worst_class_error" in names
    for row, other in zip(one, two, strict=True):
        assert [row[name] for name in names] == pytest.approx(
            [other[name] for name in names], rel=FLOAT32
        )


def test_a_model_loads_where_the_files_can_be_imported(runs, mine):
    loaded = tf.keras.models.load_model(mine / "whole" / "model", compile=False)
    assert loaded.output_shape == (None, 2)


@pytest.mark.slow
def test_an_export_needs_none_of_the_files(runs, mine, tmp_path):
    trust = list(own_code(configuration(mine)).values())
    serving = Serving(open_run(str(mine / "whole"), "last", lambda _: None, trust))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3)).astype(np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    export(serving, str(tmp_path / "export"))
    names = [str(tmp_path / name) for name in ("export", "pixels.npy", "found.npy")]
    command = [sys.executable, "-c", ELSEWHERE, *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_allclose(found, serving.outputs(pixels)["probabilities"], atol=1e-5)


@pytest.mark.integration
@pytest.mark.parametrize("replicas", [1, 2])
def test_killed_twice_they_end_with_the_same_weights(mine, class_data, tmp_path, replicas):
    """KILL within the first epoch and TERM within the second, by the real command."""
    changes = {"virtual_replicas": replicas, "checkpoint.every_steps": 1, "data.log_records": True}
    config = datasets.write_config(
        tmp_path / "config.py", datasets.CLASSIFICATION, deterministic=True, **changes
    )
    own = [f"--config.{key}={value}" for key, value in own_examples.write(mine)]
    digests = []
    for name, kills in (
        ("whole", ()),
        ("killed", (Kill(2, signal.SIGKILL), Kill(4, signal.SIGTERM))),
    ):
        run = tmp_path / name
        flags = ["train", f"--config={config}", f"--data={class_data}", f"--workdir={run}", *own]
        for kill in kills:
            check_killed(kill, *live(flags, run, kill, STEPS // 2))
        code, said = live(flags, run, None, STEPS // 2)
        assert code == 0, said
        assert ("resuming at" in said) == bool(kills)
        digests.append(json.loads((run / "report.json").read_text())["weights_digest"])
    assert digests[0] == digests[1]
