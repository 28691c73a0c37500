"""Which calls are traced: steps counted from 1, both ends included."""

import os

import pytest
import tensorflow as tf

from tests.trainer import datasets
from trainer.monitoring import profiling
from trainer.monitoring.profiling import TRACES, StepProfiler, Window, planned, traced_steps


class Recorder:
    """Stands for tf.profiler.experimental; `marked` has the steps of each trace that was kept."""

    def __init__(self):
        self.logdir, self.marked, self.current = None, [], None
        self.fault = None

    def start(self, logdir):
        assert self.current is None
        if self.fault:
            raise self.fault
        self.logdir, self.current = logdir, []

    def stop(self, save):
        steps, self.current = self.current, None
        if save:
            self.marked.append(steps)
            tf.io.gfile.makedirs(f"{self.logdir}/plugins/profile/{len(self.marked)}")

    def Trace(self, name, step_num, _r, **facts):
        recorder = self
        assert facts["cores"] >= 1  # whoever reads the trace elsewhere wants to know

        class Mark:
            def __enter__(self):
                recorder.current.append(step_num)

            def __exit__(self, *unused):
                assert recorder.current is not None

        return Mark()


@pytest.fixture
def recorder(monkeypatch):
    found = Recorder()
    monkeypatch.setattr(profiling.tf.profiler, "experimental", found)
    monkeypatch.setattr(profiling, "_APART_SECONDS", 0.0)
    return found


def run(profiler, epochs, steps, a_call=1, first=0):
    """The calls of a loop, epoch after epoch; returns whether a trace was begun, call by call."""
    begun = []
    step = first
    for epoch in range(step // steps, epochs):
        end = (epoch + 1) * steps
        with profiler:
            while step < end:
                left = -(-(end - step) // a_call)
                begun.append(profiler.before(step, left, step % steps == 0, epoch + 1 == epochs))
                step = min(step + a_call, end)
                profiler.after(step)
                if profiler.is_over:
                    profiler.finish()
    return begun


def profiler_for(folder, *windows, a_call=1, say=lambda _: None):
    found = StepProfiler(folder, say)
    found.plan(windows, a_call, announced=True)
    return found


def test_the_calls_planned_are_traced_and_no_other(recorder, tmp_path):
    """Steps 3 to 7 counted from 1 are the calls that start at 2 to 6."""
    said = []
    begun = run(profiler_for(tmp_path, Window(2, 5), say=said.append), 1, 10)
    assert recorder.marked == [[3, 4, 5, 6, 7]]
    assert begun == [False, False, True, *[False] * 7]
    assert traced_steps(tmp_path) == [(3, 7)]
    assert said == [f"trace of steps 3 to 7: {tmp_path}/plugins/profile/1"]


@pytest.mark.parametrize(
    "text", ["5", '{"steps": 1}', '{"steps": ["a", 2]}', "[" * 100_000, "\xff\xfe"]
)
def test_notes_of_traces_that_are_none_are_left_out(tmp_path, text):
    (tmp_path / TRACES).write_text(text, encoding="latin-1")
    assert traced_steps(tmp_path) == []


def test_a_pipe_in_place_of_the_notes_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / TRACES)
    assert traced_steps(tmp_path) == []


def test_whole_calls_are_traced_where_they_hold_several_steps(recorder, tmp_path):
    """Calls of 4 steps; 6 of them from step 8 on are the steps 9 to 32."""
    run(profiler_for(tmp_path, Window(8, 6), a_call=4), 1, 40, a_call=4)
    assert recorder.marked == [[9, 13, 17, 21, 25, 29]]
    assert traced_steps(tmp_path) == [(9, 32)]


def test_a_trace_that_does_not_fit_into_an_epoch_is_the_next_ones(recorder, tmp_path):
    """From step 6 on an epoch of 10 has four calls; the next one begins with step 11."""
    run(profiler_for(tmp_path, Window(6, 5)), 2, 10)
    assert recorder.marked == [[11, 12, 13, 14, 15]]


@pytest.mark.parametrize(("first", "marked"), [(4, [[5, 6, 7, 8, 9, 10]]), (6, [])])
def test_in_the_last_epoch_a_trace_may_be_shorter_but_not_too_short(
    recorder, tmp_path, first, marked
):
    """Ten calls from step 4 on: six are left, more than 5; from step 6 on four: no trace."""
    profiler = profiler_for(tmp_path, Window(first, 10))
    run(profiler, 1, 10)
    assert recorder.marked == marked
    assert profiler.waits == (not marked)


def test_where_epochs_are_shorter_than_a_trace_it_is_a_whole_epoch(recorder, tmp_path):
    run(profiler_for(tmp_path, Window(2, 10)), 5, 4)
    assert recorder.marked == [[5, 6, 7, 8]]


def test_the_first_call_of_a_process_is_never_traced(recorder, tmp_path):
    """It traces its graph."""
    run(profiler_for(tmp_path, Window(0, 5)), 1, 10)
    assert recorder.marked == [[2, 3, 4, 5, 6]]


@pytest.mark.parametrize(
    ("window", "again"),
    [((2, 5), False), ((6, 5), False), ((0, 3), False), ((7, 5), True), ((8, 5), True)],
)
def test_a_restart_traces_nothing_that_was_traced_before(recorder, tmp_path, window, again):
    """Steps 3 to 7 were. Windows are from 0: (7, 5) is steps 8 to 12."""
    run(profiler_for(tmp_path, Window(2, 5)), 1, 10)
    assert profiler_for(tmp_path, Window(*window)).waits == again


def test_two_plans_for_the_same_steps_are_one_trace(recorder, tmp_path):
    run(profiler_for(tmp_path, Window(2, 5), Window(3, 6)), 1, 20)
    assert recorder.marked == [[3, 4, 5, 6, 7]]


def test_a_line_torn_by_a_kill_is_no_trace(tmp_path):
    (tmp_path / profiling.TRACES).write_text('{"trace": "a", "steps": [3, 7]}\n{"trace": "b", "st')
    assert traced_steps(tmp_path) == [(3, 7)]


@pytest.mark.parametrize(("calls", "kept"), [(5, []), (6, [[2, 3, 4, 5, 6, 7]])])
def test_what_ends_an_epoch_early_ends_the_trace_and_a_short_one_is_dropped(
    recorder, tmp_path, calls, kept
):
    """The last call of what is interrupted may be half done: five whole ones are the least."""
    profiler = profiler_for(tmp_path, Window(1, 20))

    def interrupted():
        with profiler:
            for step in range(calls):
                profiler.before(step, 50, False, False)
                profiler.after(step + 1)
            profiler.before(calls, 50, False, False)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert recorder.current is None
    assert recorder.marked == kept


def test_a_fault_of_the_profiler_is_said_and_training_goes_on(recorder, tmp_path):
    said = []
    recorder.fault = tf.errors.AlreadyExistsError(None, None, "another one runs")
    profiler = StepProfiler(tmp_path, said.append)
    profiler.plan([Window(2, 5)], 1)
    run(profiler, 1, 10)
    assert recorder.marked == []
    (words,) = said
    assert "another one runs" in words


class Request:
    """Stands for what `trainer capture` has left; `answers` has what it was told."""

    def __init__(self, calls):
        self.calls, self.is_waiting, self.answers = calls, True, []

    def taken(self, trace, steps):
        self.answers.append((trace, steps))

    def failed(self, problem):
        self.answers.append(problem)


class Inbox:
    """Has a request from the look on that is numbered `at`."""

    def __init__(self, request, at=0):
        self.request, self.left = request, at

    def look(self, at_once=False):
        self.left -= 1
        if self.left >= 0 or self.request is None:
            return None
        request, self.request = self.request, None
        return request


def test_a_request_is_answered_with_the_folder_and_the_steps(recorder, tmp_path):
    """It comes before the fifth call, while a planned trace is under way."""
    request = Request(6)
    profiler = StepProfiler(tmp_path, inbox=Inbox(request, at=4))
    profiler.plan([Window(2, 5)], 1)
    with profiler:
        for step in range(20):
            profiler.before(step, 20 - step, step == 0, True)
            profiler.after(step + 1)
            if profiler.is_over:
                profiler.finish()
    assert recorder.marked == [[3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13]]
    assert request.answers == [(tmp_path / "plugins" / "profile" / "2", (8, 13))]


def test_a_request_learns_of_a_fault(recorder, tmp_path):
    recorder.fault = tf.errors.UnavailableError(None, None, "no device")
    request = Request(5)
    run(StepProfiler(tmp_path, inbox=Inbox(request)), 1, 10)
    (problem,) = request.answers
    assert "no device" in problem


def test_a_request_that_nobody_waits_for_any_more_takes_no_trace(recorder, tmp_path):
    request = Request(5)
    request.is_waiting = False
    run(StepProfiler(tmp_path, inbox=Inbox(request)), 1, 10)
    assert recorder.marked == [] and request.answers == []


@pytest.mark.parametrize("calls", [0, 3])
def test_a_request_that_the_run_had_no_calls_left_for_learns_of_its_end(recorder, tmp_path, calls):
    """Of four calls in all the first is never traced, and five are the least; or it comes last."""
    request = Request(5)
    profiler = StepProfiler(tmp_path, inbox=Inbox(request))
    for step in range(calls):
        profiler.before(step, calls - step, step == 0, True)
        profiler.after(step + 1)
    profiler.end()
    assert recorder.marked == []
    assert request.answers == ["the run has ended"]


def config(**changes):
    return datasets.configuration(datasets.TRIPLET, **changes)


@pytest.mark.parametrize(
    ("changes", "step", "windows"),
    [
        ({}, 0, []),
        ({"profile__steps": (10, 20)}, 0, [Window(9, 11)]),
        ({"profile__steps": (10, 20)}, 15, [Window(9, 11)]),
        ({"profile__steps": (10, 20)}, 20, []),
        # The default counts calls, all others steps: 31 to 90 are six calls of ten.
        ({"profile__steps": (10, 20), "steps_per_execution": 10}, 0, [Window(90, 11)]),
        ({"profile__steps": (31, 90), "steps_per_execution": 10}, 0, [Window(30, 6)]),
        # Calls 10 to 20 of this process.
        ({"profile__on_start": True}, 0, [Window(9, 11)]),
        ({"profile__on_start": True}, 500, [Window(509, 11)]),
        ({"profile__on_start": True, "steps_per_execution": 2}, 500, [Window(518, 11)]),
        # Of 1,000 steps 15, 5 are left: it begins sooner, or at once.
        ({"profile__on_start": True}, 985, [Window(989, 11)]),
        ({"profile__on_start": True}, 995, [Window(995, 11)]),
    ],
)
def test_what_a_configuration_plans(changes, step, windows):
    assert planned(config(**changes), step, 1000) == windows


@pytest.mark.parametrize(
    ("a_call", "total", "window"),
    [
        (1, 30, Window(9, 11)),
        (1, 15, Window(4, 11)),
        (1, 6, Window(1, 11)),
        (10, 78, Window(10, 11)),
    ],
)
def test_by_default_a_short_run_is_traced_from_as_late_a_call_as_leaves_eleven(
    a_call, total, window
):
    """From the tenth on, if there are so many; never the first one."""
    changes = {"profile__steps": (10, 20), "steps_per_execution": a_call}
    assert planned(config(**changes), 0, total) == [window]


def test_on_start_in_a_short_run_leaves_a_trace(recorder, tmp_path):
    """Eight steps: the first one is traced as a graph, the other seven as steps."""
    found = planned(config(profile__on_start=True), 0, 8)
    run(profiler_for(tmp_path, *found), 1, 8)
    assert recorder.marked == [[2, 3, 4, 5, 6, 7, 8]]


def test_where_there_is_no_folder_nothing_is_traced(recorder):
    """A loop outside a run, such as that of a measurement."""
    profiler = StepProfiler()
    profiler.plan([Window(2, 5)], 1)
    run(profiler, 1, 10)
    assert recorder.marked == []
    assert not profiler.waits
