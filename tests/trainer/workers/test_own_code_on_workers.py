"""The examples of a user's own code in docs/extending.md on two workers, with stages."""

from __future__ import annotations

import json

import pytest

from tests import own_examples
from tests.trainer import datasets
from tests.trainer.conftest import train_in_process
from tests.trainer.workers.double_precision import FLOAT32
from tests.trainer.workers.test_replicas_train import rows
from tests.trainer.workers.test_workers import end, start
from trainer.config import with_changes

EPOCHS, STEPS = 3, 9
# At the second step of the second stage, once, where KILL names a file that is not there yet.
KILLER = """
import json
import os
import signal
from pathlib import Path


class Killer:
    def on_epoch_begin(self, epoch, logs):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs):
        rank = json.loads(os.environ.get("TF_CONFIG") or "{}").get("task", {}).get("index", 0)
        once = os.environ.get("KILL")
        if once and (rank, self.epoch, batch) == (1, 1, 1) and not Path(once).exists():
            Path(once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""
CHANGES = {
    "model.backbone": "cnn",
    "deterministic": True,
    "epochs": EPOCHS,
    "stages": ({"epochs": 1, "trainable": "head"}, {}),
    "checkpoint.every_steps": 1,
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.integration  # minutes
def test_they_train_in_stages_as_one_process_does_and_survive_a_kill(class_data, tmp_path):
    """Worker 1 is killed in the second stage: the same weights as undisturbed, and the curves of
    one process with two replicas.
    """
    own = dict(own_examples.write(tmp_path))
    (tmp_path / "killer.py").write_text(KILLER, encoding="utf-8")
    own["callbacks"] += f",{tmp_path}/killer.py:Killer"
    config = datasets.write_config(tmp_path / "config.py", datasets.CLASSIFICATION, **CHANGES)
    words = ["train", f"--config={config}", f"--data={class_data}", "--json", "--local_workers=2"]
    words += [f"--config.{key}={value}" for key, value in own.items()]

    code, out, said = end(start([*words, f"--workdir={tmp_path / 'calm'}"]))
    assert code == 0, said
    calm = json.loads(out)
    once = tmp_path / "killed-once"
    code, out, said = end(start([*words, f"--workdir={tmp_path / 'run'}"], KILL=str(once)))
    assert code == 0, said
    assert once.exists()
    assert "worker 1 was killed by SIGKILL, worker 0 ended with 76" in said
    assert "resuming at step" in said
    killed = json.loads(out)
    assert killed["steps"] == calm["steps"] == STEPS
    assert killed["weights_digest"] == calm["weights_digest"]

    alone = with_changes(datasets.configuration(datasets.CLASSIFICATION, **CHANGES), own)
    with pytest.MonkeyPatch.context() as patch:
        train_in_process(patch, alone, class_data, tmp_path / "alone", 2)
    one, two = rows(tmp_path / "alone"), rows(tmp_path / "run")
    names = [name for name in one[0] if name.endswith(("loss", "accuracy", "error"))]
    assert "val_worst_class_error" in names
    assert len(two) == EPOCHS
    for row, other in zip(one, two, strict=True):
        assert [other[name] for name in names] == pytest.approx(
            [row[name] for name in names], rel=FLOAT32
        )
