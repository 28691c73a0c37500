"""Two workers of the real command, one of which reads slowly, traced as planned and on demand."""

import json

import pytest

from tests.trainer.test_loop import traces
from tests.trainer.test_replicas_train import rows
from tests.trainer.test_workers import arguments, end, start, until
from trainer.gang import free_ports
from trainer.profiling import traced_steps

pytestmark = pytest.mark.slow

STEPS = 120  # of an epoch; long enough for two captures, each of which waits for a process


@pytest.fixture(scope="module")
def watched(triplet_data, tmp_path_factory):
    """The run, its report, and the answers of a capture from each worker and of one too many."""
    folder = tmp_path_factory.mktemp("watched")
    (port,) = free_ports(1)
    words, run = arguments(
        folder,
        triplet_data,
        model__backbone="mlp",
        steps_per_epoch=STEPS,
        profile__workers="all",
        profile__port=port,
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
        captures = [
            end(start(["capture", f"localhost:{port + rank}", "--json"])) for rank in range(2)
        ]
    except BaseException:
        first.kill()
        second.kill()
        raise
    ends = [end(first), end(second)]
    assert [code for code, _, _ in ends] == [0, 0], ends
    captures.append(end(start(["capture", f"localhost:{port}"])))
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
    code, out, said = captures[rank]
    assert code == 0, said
    answer = json.loads(out)
    first, last = answer["steps"]
    assert 20 < first == last - 9
    folder = run / "tensorboard" / "worker-1" if rank else run / "tensorboard"
    promised, marked = traces(folder)[1]
    assert promised == marked == list(range(first, last + 1))
    (line,) = (folder / "traces.jsonl").read_text().splitlines()[1:]
    assert answer["trace"] == str(folder / json.loads(line)["trace"])


def test_where_no_training_is_a_capture_ends_with_69(watched):
    code, out, said = watched[2][2]
    assert (code, out) == (69, "")
    assert "does not answer" in said


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
