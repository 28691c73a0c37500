"""MLflow's own Keras callback in a training, with a real tracking store: the example of
docs/extending.md, killed and resumed, and on two workers.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.own_examples import DOCUMENT
from tests.trainer import datasets
from tests.trainer.kills import Kill, check_killed, live

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
pytest.importorskip("pandas", reason="MLflow's callback needs pandas")

EPOCHS, STEPS = 3, 9
_EXAMPLE = re.compile(r"<!-- tested by: \S+/test_mlflow.py -->\n```python\n(.*?)```\n", re.DOTALL)

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "bright")
    client = mlflow.MlflowClient(address)
    client.create_experiment("bright", artifact_location=str(tmp_path / "artifacts"))
    return client


def flags(folder: Path, data: str, name: str, **changes: object) -> list[str]:
    (text,) = _EXAMPLE.findall(DOCUMENT.read_text(encoding="utf-8"))
    (folder / "tracking.py").write_text(text, encoding="utf-8")
    changes = {"epochs": EPOCHS, "checkpoint.every_steps": 1, "data.log_records": True, **changes}
    config = datasets.write_config(
        folder / "config.py", datasets.CLASSIFICATION, deterministic=True, **changes
    )
    own = f"--config.callbacks={folder}/tracking.py:Tracked"
    return ["train", f"--config={config}", f"--data={data}", f"--workdir={folder / name}", own]


def recorded(store, run: Path) -> dict[str, dict[int, float]]:
    """The figures of the only run in the store, by epoch from 0: those of metrics.jsonl. After a
    kill the store may have one twice.
    """
    (experiment,) = store.search_experiments(filter_string="name = 'bright'")
    (found,) = store.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["opt_name"]
    names = [artifact.path for artifact in store.list_artifacts(found.info.run_id)]
    assert names == ["model_summary.txt"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    figures = {}
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "step"):
        history = store.get_metric_history(found.info.run_id, name)
        pairs = {(each.step, each.value) for each in history}
        assert pairs == {(epoch, row[name]) for epoch, row in enumerate(rows)}, name
        figures[name] = dict(pairs)
    return figures


def test_a_killed_run_continues_in_the_same_run_of_the_store(store, class_data, tmp_path):
    """KILL in the second epoch, TERM in the third."""
    given = flags(tmp_path, class_data, "killed")
    for kill in (Kill(STEPS // 3 + 1, signal.SIGKILL), Kill(2 * STEPS // 3 + 1, signal.SIGTERM)):
        check_killed(kill, *live(given, tmp_path / "killed", kill, STEPS // EPOCHS))
    code, said = live(given, tmp_path / "killed", None, STEPS // EPOCHS)
    assert code == 0, said
    assert "is lost" not in said
    assert set(recorded(store, tmp_path / "killed")["val_loss"]) == {0, 1, 2}


def test_of_two_workers_one_writes(store, class_data, tmp_path):
    given = [*flags(tmp_path, class_data, "two"), "--local_workers=2"]
    code, said = live(given, tmp_path / "two", None, STEPS // EPOCHS)
    assert code == 0, said
    assert set(recorded(store, tmp_path / "two")["loss"]) == {0, 1, 2}
