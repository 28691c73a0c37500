"""`trainer search` as a user runs it: killed, started again, by two processes at a time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import forked
from tests.trainer import datasets

pytestmark = pytest.mark.slow

SPACE = """
set: {epochs: 1, validation_steps: 2}
stages:
  - optimizer.learning_rate: [1.0e+30, 1.0e-3]
  - model.scale: [1, 2]
"""


def start(flags):
    return forked.Popen(
        [sys.executable, "-m", "trainer", "search", *flags],
        cwd=datasets.REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def until(condition, what, seconds=120):
    """Waits for a condition, and returns what it gives."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.integration  # half a minute
def test_a_search_killed_while_it_trains_ends_with_the_same_runs(triplet_data, tmp_path):
    """Two learning rates, of which one diverges, then another scale: three runs, whatever comes
    in between. The run that was under way goes on; the failed one is not done again.
    """
    (tmp_path / "space.yaml").write_text(SPACE)
    changes = {"model__backbone": "cnn"}
    config = datasets.write_config(tmp_path / "config.py", datasets.TRIPLET, **changes)
    folder = tmp_path / "search"
    flags = [f"--config={config}", f"--space={tmp_path}/space.yaml", f"--data={triplet_data}"]
    flags += [f"--workdir={folder}", "--json"]

    killed = start(flags)
    log = folder / "logs" / "001.log"
    until(lambda: log.is_file() and log.stat().st_size, "the second run never began")
    child = children(killed.pid)[0]
    killed.kill()
    killed.communicate()
    until(lambda: not Path(f"/proc/{child}").exists(), "the run outlived its search", 10)
    first = (folder / "logs" / "000.log").stat().st_mtime_ns

    both = [start(flags), start(flags)]
    outputs = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    results = [json.loads(output) for output, _ in outputs]
    assert results[0] == results[1] == json.loads((folder / "search.json").read_text())
    found = results[0]
    rates = [run["params"]["optimizer.learning_rate"] for run in found["trials"]]
    scales = [run["params"]["model.scale"] for run in found["trials"]]
    assert (rates, scales) == ([1e30, 1e-3, 1e-3], [1.0, 1.0, 2.0])
    assert [run["state"] for run in found["trials"]] == ["failed", "finished", "finished"]
    assert found["trials"][0]["reason"].startswith("diverged")
    assert found["complete"] and found["best"]["params"]["optimizer.learning_rate"] == 1e-3
    assert (folder / "logs" / "000.log").stat().st_mtime_ns == first
    assert list((folder / "claims").iterdir()) == []
    for name in ("search.csv", "search.png", "trials/002/report.html"):
        assert (folder / name).stat().st_size > 100
    assert not (folder / "trials" / "002" / "checkpoints").exists()
    assert hparams_page(folder / "tensorboard") == {
        "optimizer.learning_rate=1e+30, model.scale=1": ("STATUS_FAILURE", None),
        "optimizer.learning_rate=0.001, model.scale=1": value_of(found["trials"][1]),
        "optimizer.learning_rate=0.001, model.scale=2": value_of(found["trials"][2]),
    }


def value_of(run):
    return "STATUS_SUCCESS", pytest.approx(run["value"])


def hparams_page(folder):
    """What TensorBoard's own plugin reads: {group: (status, metric)}."""
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import (
        api_pb2,
        backend_context,
        get_experiment,
        list_session_groups,
    )

    events = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder))
    events.Reload()
    provider = data_provider.MultiplexerDataProvider(events, str(folder))
    page = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    asked = api_pb2.GetExperimentRequest()
    experiment = get_experiment.Handler(RequestContext(), page, "x", asked).run()
    columns = [
        api_pb2.ColParams(metric=metric.name, order=api_pb2.ORDER_UNSPECIFIED)
        for metric in experiment.metric_infos
    ]
    every = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=every, col_params=columns, start_index=0, slice_size=99
    )
    groups = list_session_groups.Handler(RequestContext(), page, "x", request).run()
    found = {}
    for group in groups.session_groups:
        status = api_pb2.Status.Name(group.sessions[0].status)
        value = group.metric_values[0].value if group.metric_values else None
        found[group.name] = (status, value)
    return found


def test_a_bad_space_ends_with_78_and_a_line(triplet_data, tmp_path):
    (tmp_path / "space.yaml").write_text("search: {model.scael: [1]}")
    flags = ["--config=demo", f"--space={tmp_path}/space.yaml", f"--data={triplet_data}"]
    done = datasets.command("trainer", "search", *flags, f"--workdir={tmp_path / 'search'}")
    assert done.returncode == os.EX_CONFIG
    assert "did you mean model.scale" in done.stderr and len(done.stderr.splitlines()) == 1
