"""Two workers of the real command, one of which reads slowly, traced as planned and on demand."""

import json

import pytest

from tests.trainer.training.test_loop import traces
from tests.trainer.workers.test_replicas_train import rows
from tests.trainer.workers.test_workers import arguments, end, start, until
from trainer.monitoring.profiling import traced_steps
from trainer.workers.supervisor.processes import free_ports

pytestmark = pytest.mark.slow

STEPS = 60  # of an epoch; long enough for a capture after the first twenty


@pytest.fixture(scope="module")
def watched(triplet_data, tmp_path_factory):
    """The run, its report, and the answers of a capture of both workers and of one too many."""
    folder = tmp_path_factory.mktemp("watched")
    words, run = arguments(
        folder,
        triplet_data,
        model__backbone="mlp",
        steps_per_epoch=STEPS,
        profile__workers="all",
    )
    addresses = [f"localhost:{free}" for free in free_ports(2)]
    tasks = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        for rank in range(2)
    ]
    command = [*words, "--profile"]
    first = start(command, TF_CONFIG=json.dumps(tasks[0]))
    slowed = ["-m", "tests.trainer.slowed", "slow_batches", "1"]
    second = start(command, program=slowed, TF_CONFIG=json.dumps(tasks[1]))
    planned = [run / "tensorboard", run / "tensorboard" / "worker-1"]
    try:
        until(lambda: all(map(traced_steps, planned)), first, second)
        captures = [end(start(["capture", str(run), "--workers=all", "--json"]))]
    except BaseException:
        first.kill()
        second.kill()
        raise
    ends = [end(first), end(second)]
    assert [code for code, _, _ in ends] == [0, 0], ends
    captures.append(end(start(["capture", str(run)])))
    return run, json.loads(ends[0][1]), captures


@pytest.mark.parametrize("rank", [0, 1])
def test_every_worker_leaves_a_trace_of_the_calls_after_its_warm_up(watched, rank):
    run, _, _ = watched
    folder = run / "tensorboard" / "worker-1" if rank else run / "tensorboard"
    found = traces(folder)
    assert found[0] == (list(range(10, 21)), list(range(10, 21)))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_capture_prints_the_trace_and_its_steps_which_it_holds(watched, rank):
    """Ten of them, after those that were planned."""
    run, _, captures = watched
    code, out, said = captures[0]
    assert code == 0, said
    answer = json.loads(out)["traces"][rank]
    assert answer["worker"] == rank
    first, last = answer["steps"]
    assert 20 < first == last - 9
    folder = run / "tensorboard" / "worker-1" if rank else run / "tensorboard"
    promised, marked = traces(folder)[1]
    assert promised == marked == list(range(first, last + 1))
    (line,) = (folder / "traces.jsonl").read_text().splitlines()[1:]
    assert answer["trace"] == str(folder / json.loads(line)["trace"])


def test_where_no_training_is_a_capture_ends_with_69_and_leaves_nothing(watched):
    run, _, captures = watched
    code, out, said = captures[1]
    assert (code, out) == (69, "")
    assert f"has finished: it is at step {2 * STEPS}" in said
    assert not (run / "capture").exists()


def test_the_worker_whose_reading_is_slow_is_named(watched):
    """It waits most of a step, and the other one for it, inside the step."""
    run, report, _ = watched
    for row in rows(run):
        one, other = row["worker_input_wait_fractions"]
        assert one == pytest.approx(row["input_wait_fraction"])
        assert other - one > 0.2
    found = report["bottleneck"]
    assert "worker 1 waits" in found["verdict"] and "all wait for it" in found["verdict"]
    assert found["stage"] is None
