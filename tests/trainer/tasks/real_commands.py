"""A run of a task by the real commands: trained, then evaluated, predicted with and exported."""

import json

from tests.trainer import datasets


def train(folder, data, config, says):
    """Trains into folder/run; `says` is what its lines have. Returns (the run, its report)."""
    workdir = str(folder / "run")
    words = [f"--config={config}", f"--data={data}", f"--workdir={workdir}", "--json"]
    done = datasets.command("trainer", "train", *words)
    assert done.returncode == 0, done.stderr
    for word in says:
        assert word in done.stderr
    return workdir, json.loads(done.stdout)


def use(workdir, data, folder, model, *further):
    """What `evaluate` prints of a run, which is also exported to `model`; tables go into `folder`.

    `further` are other commands, each a list of words.
    """
    measured = {}
    for name, *words in (
        ["evaluate", f"--data={data}", "--json", f"--output={folder / 'measured.csv'}"],
        ["predict", f"--images={data}/../pictures/test", f"--output={folder / 'predicted.csv'}"],
        ["export", f"--output={model}"],
        *further,
    ):
        done = datasets.command("trainer", name, f"--workdir={workdir}", *words)
        assert done.returncode == 0, done.stderr
        measured |= json.loads(done.stdout) if name == "evaluate" else {}
    return measured
