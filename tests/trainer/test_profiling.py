"""Which calls are traced: steps counted from 1, both ends included."""

import pytest

from trainer import profiling


class Recorder:
    """Stands for tf.profiler.experimental; `open` and `marked` tell what happened."""

    def __init__(self):
        self.open = False
        self.marked = []
        self.starts = 0

    def start(self, logdir):
        assert not self.open
        self.open, self.starts = True, self.starts + 1

    def stop(self):
        assert self.open
        self.open = False

    def Trace(self, name, step_num, _r):
        recorder = self

        class Mark:
            def __enter__(self):
                recorder.marked.append(step_num)

            def __exit__(self, *unused):
                assert recorder.open

        return Mark()


@pytest.fixture
def recorder(monkeypatch):
    found = Recorder()
    monkeypatch.setattr(profiling.tf.profiler, "experimental", found)
    return found


def run(profiler, steps, a_call=1):
    with profiler:
        for step in range(0, steps, a_call):
            profiler.before(step)
            profiler.after(step + a_call)


def test_the_steps_named_are_traced_and_no_other(recorder, tmp_path):
    """Steps 3 to 5 counted from 1 are the calls that start at 2, 3 and 4."""
    run(profiling.StepProfiler((3, 5), tmp_path), 10)
    assert recorder.marked == [2, 3, 4]
    assert not recorder.open


def test_whole_calls_are_traced_where_they_hold_several_steps(recorder, tmp_path):
    run(profiling.StepProfiler((3, 8), tmp_path), 16, a_call=4)
    assert recorder.marked == [4]
    assert not recorder.open


def test_an_epoch_that_ends_early_ends_the_trace(recorder, tmp_path):
    run(profiling.StepProfiler((3, 50), tmp_path), 5)
    assert recorder.marked == [2, 3, 4]
    assert not recorder.open


def test_no_steps_no_trace(recorder, tmp_path):
    run(profiling.StepProfiler((), tmp_path), 5)
    assert recorder.starts == 0
