"""Traces read from files: real ones of a CPU, synthetic ones of a GPU, damaged ones."""

from __future__ import annotations

import math
import os
import shutil

import pytest
import tensorflow as tf

from preprocess.shell.errors import DataError
from tests.trainer import datasets, traces
from tests.trainer.explanations import by_trace
from tests.trainer.stacks import needs_host_in_gpu_steps
from trainer.bottleneck import thresholds, trace
from trainer.bottleneck.loop_verdict import loop_verdict
from trainer.bottleneck.run_caveats import with_caveats
from trainer.bottleneck.sentences import as_json
from trainer.bottleneck.trace import refined
from trainer.bottleneck.trace.explanation import Split
from trainer.bottleneck.trace.marks import marked_steps, marks
from trainer.bottleneck.trace.read_trace import trace_files
from trainer.bottleneck.trace.trace_stages import costliest_layer
from trainer.inference import finished_run as reporting
from trainer.monitoring.cores import available_cores
from trainer.monitoring.profiling import StepProfiler, Window
from trainer.training.run_directory import RunDirectory


def numbers(*maps, names=()):
    """A stream of batches; each map has a name where one is given."""
    dataset = tf.data.Dataset.range(10_000)
    for function, name in zip(maps, [*names, *[None] * len(maps)], strict=False):
        dataset = dataset.map(function, num_parallel_calls=2, name=name)
    return dataset.batch(1).prefetch(2)


def add(element):
    return element + 1


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    return traces.trace(tmp_path_factory.mktemp("fast"), numbers(add, add))


# Two calls at a time that sleep 240 ms: a batch each 120 ms, to a step of some 10, which on a busy
# machine may be some 40.
PAUSE = 0.24


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    return traces.trace(tmp_path_factory.mktemp("slow"), numbers(traces.sleeping(PAUSE)))


@pytest.mark.parametrize("slow", ["storage", "decode"])
def test_a_slow_stage_is_named(tmp_path, slow):
    pause = traces.sleeping(PAUSE)
    maps = {name: pause if name == slow else add for name in ("storage", "decode", "host_map")}
    traces.trace(tmp_path, numbers(*maps.values(), names=list(maps)))
    explained = trace.explain(tmp_path)
    found = by_trace(explained)
    assert found["stage"] == slow, found["verdict"]
    assert found["verdict"].startswith("Input-bound")
    assert any(f"the slowest is {slow} (" in line for line in found["advice"])


def test_an_unnamed_stage_is_known_by_what_it_runs(tmp_path):
    noise = tf.random.uniform((1500, 1500, 3), maxval=256, dtype=tf.int32)
    picture = tf.io.encode_jpeg(tf.cast(noise, tf.uint8))

    def decode(element):
        return element + tf.cast(tf.io.decode_jpeg(picture)[0, 0, 0], tf.int64)

    traces.trace(tmp_path, numbers(decode))
    found = by_trace(trace.explain(tmp_path))
    assert (found["stage"], found["source"]) == ("decode", "profile")


def test_a_fast_input_is_not_blamed(fast):
    explained = trace.explain(fast)
    found = by_trace(explained)
    assert explained.steps == 10
    assert explained.split.input < 0.2
    assert found["stage"] not in ("storage", "parse", "decode", "host_map", "table")
    # On a busy machine there may be some waiting, which is advised on, and blamed no more.
    waits = explained.waits_for_input(thresholds.INPUT_MODERATE)
    assert any("waiting for input" in line for line in found["advice"]) == waits


def test_the_split_of_a_real_trace_is_whole(fast):
    explained = trace.explain(fast)
    shares = vars(explained.split).values()
    assert sum(shares) == pytest.approx(1, abs=0.02)
    assert explained.device_idle is None
    assert any(op.type.endswith("MatMul") for op in explained.operations[:4])
    roots = [each for each in explained.iterators if each.awaited]
    assert sum(each.calls for each in roots) == explained.steps
    assert explained.get_next_us < 1000 * explained.step_ms


@needs_host_in_gpu_steps
def test_a_gpu_is_explained(tmp_path):
    """Synthetic: each step of 20 ms has 2 of launches, then 8 of the model, 2 of layers, 4 of
    collectives, and 4 of nothing, which is Python.
    """
    traces.gpu_trace(
        tmp_path,
        step_ms=20.0,
        launch_ms=2 / 3,
        kernels={
            "sgemm": ("model/dense/MatMul:MatMul", 8.0),
            "resize": ("device_preprocess/resize/ResizeBilinear:ResizeBilinear", 2.0),
            "ncclKernel_AllReduce": ("CollectiveReduceV2:CollectiveReduceV2", 4.0),
        },
    )
    explained = trace.explain(tmp_path)
    split, found = explained.split, by_trace(explained)
    assert (explained.hardware, explained.steps, explained.host) == ("GPU", 10, "gpu")
    assert split.device_compute == pytest.approx(0.5, abs=0.01)
    assert split.collectives == pytest.approx(0.2, abs=0.01)
    assert split.kernel_launch == pytest.approx(0.1, abs=0.01)
    assert split.others == pytest.approx(0.2, abs=0.01)
    assert explained.device_idle == pytest.approx(0.3, abs=0.01)
    assert found["shares"] == {
        "model": pytest.approx(0.4, abs=0.01),
        "device_preprocess": pytest.approx(0.1, abs=0.01),
        "collective": pytest.approx(0.2, abs=0.01),
        "host_overhead": pytest.approx(0.3, abs=0.01),
    }
    assert found["stage"] == "model"
    assert [op.name for op in explained.operations[:3]] == [
        "model/dense/MatMul",
        "CollectiveReduceV2",
        "device_preprocess/resize/ResizeBilinear",
    ]


@needs_host_in_gpu_steps
def test_a_gpu_that_is_fed_too_slowly_is_told_so(tmp_path):
    """Synthetic: ten launches of 1 ms for kernels of 0.2 ms."""
    kernels = {f"kernel{n}": (f"model/layer{n}/Mul:Mul", 0.2) for n in range(10)}
    traces.gpu_trace(tmp_path, step_ms=12.0, launch_ms=1.0, kernels=kernels)
    found = by_trace(trace.explain(tmp_path))
    assert found["stage"] == "host_overhead"
    assert found["verdict"].startswith("Overhead-bound")
    assert "launching kernels" in found["advice"][0]


@pytest.mark.parametrize("pause", [0.0, PAUSE])
def test_calls_of_several_steps_are_explained_too(tmp_path, pause):
    """Where TensorFlow's own analysis sees no step. Two calls at a time sleep.

    Without, some of the short calls may wait on a machine that is busy otherwise.
    """
    slow = traces.sleeping(pause) if pause else add
    traces.trace(tmp_path, numbers(slow, names=["storage"]), steps=6, steps_a_call=4)
    explained = trace.explain(tmp_path)
    found = by_trace(explained)
    assert explained.steps == 6
    assert found["verdict"].startswith("Input-bound") == bool(pause)
    assert (found["stage"] == "storage") == bool(pause)


def test_a_gpu_that_runs_several_steps_a_call_is_explained(tmp_path):
    """Synthetic, with the marks alone: 12 ms of kernels, of which 2 at once, and of the other 10
    of a call of 20 ms 4 of waiting for a batch.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    host, gpu = traces.Plane(space, "/host:CPU"), traces.Plane(space, "/device:GPU:0")
    python, ahead = host.line("python"), host.line("tf_data_multi_device_iterator_resource/1")
    for call in range(5):
        start = 20 * call
        host.event(python, "train", start, 20, step_num=call)
        host.event(python, "train", start + 1, 5)  # of the same name, and no mark
        host.event(python, "Iterator::Root", start, 4)
        host.event(ahead, "Iterator::Root", start, 20)
        gpu.event(gpu.line("Stream #1"), "kernel", start + 5, 7)
        gpu.event(gpu.line("Stream #2"), "kernel", start + 10, 5)
    times, split = marked_steps(space.planes)
    assert times == [20.0] * 5
    assert split == Split(
        input=pytest.approx(0.2), device_compute=pytest.approx(0.5), others=pytest.approx(0.3)
    )


def test_what_the_host_runs_during_the_marked_calls(tmp_path):
    """Synthetic: of calls of 20 ms, 30 apart, operations take 4 and 2 ms, of which 1 at once, and
    the last 3 after the mark of 5: 7 + 1 of 20 compute, as does waiting for other replicas, the 1.
    Decoding takes 10, a loop of 4 with 1 in it is 4; reading and the replicas only wait.

    All but the waits of 5 calls, 5 * (4 + 2 + 5 + 10 + 4), in 4 * 30 + 20 ms: 125 of 140, but the
    last operation of each is whole. Of processor time there are 45 ms in 30: one and a half cores.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    host = traces.Plane(space, "/host:CPU")
    python, one, two = host.line("python"), host.line("tf_Compute/1"), host.line("tf_Compute/2")
    pool = host.line("pool")
    for call in range(5):
        start = 30 * call
        host.event(
            python, "train", start, 20, step_num=call, cores=3, gpus=0, jit=1, cpu_us=45000 * call
        )
        host.event(one, "model/dense/MatMul:MatMul", start + 5, 4)
        host.event(two, "update/Adam/Mul:Mul", start + 8, 2)
        host.event(two, "ExecutorState::Process", start, 20)
        host.event(two, "AllReduce/CollectiveReduceV2:CollectiveReduceV2", start + 12, 1)
        host.event(two, "model/dense/BiasAdd:BiasAdd", start + 19, 5)
        host.event(pool, "decode/DecodeJpeg:DecodeJpeg", start, 10)
        host.event(pool, "host_map/map/while:While", start + 10, 4)
        host.event(pool, "host_map/map/while/Round:Round", start + 11, 1)
        host.event(host.line("reads"), "storage/PyFunc:PyFunc", start, 20)
    held = marks(space.planes)
    assert held is not None
    assert held.computing == pytest.approx((5 + 1 + 1) / 20)
    assert held.busy == pytest.approx(1.5)
    assert held.running == pytest.approx(5 * (4 + 2 + 5 + 10 + 4) / 140)
    assert {name: held.facts[name] for name in ("cores", "gpus", "jit")} == {
        "cores": 3,
        "gpus": 0,
        "jit": 1,
    }


def test_without_marks_nothing_is_known():
    assert marks([]) is None


def test_a_model_that_xla_compiled_is_no_gap_between_operations(tmp_path):
    """Its operations are none of TensorFlow's: what they leave of a call is the model's."""
    weights = tf.random.normal((500, 500))

    @tf.function(jit_compile=True)
    def compiled(value):
        for _ in range(6):
            value = tf.tanh(value @ weights)
        return tf.reduce_sum(value)

    def facts(jit):
        profiler = StepProfiler(tmp_path / str(jit))
        # More cores than it can fill: where they are full, they are what operations wait for.
        profiler.facts |= {"gpus": 0, "jit": jit, "cores": 64}
        profiler.plan([Window(2, 8)], 1)
        with profiler:
            for number in range(10):
                profiler.before(number, 10 - number, number == 0, True)
                compiled(weights).numpy()
                profiler.after(number + 1)
            profiler.finish()
        return by_trace(trace.explain(tmp_path / str(jit)))

    assert facts(1)["stage"] == "model"
    assert facts(0)["stage"] == "host_overhead"  # which is how it would look


def test_steps_that_were_not_marked_are_not_guessed(tmp_path):
    explained = trace.explain(traces.trace(tmp_path, numbers(add), steps=3, marked=False))
    assert (explained.steps, explained.step_ms, explained.split) == (0, None, None)
    assert by_trace(explained)["stage"] is None
    assert trace.lines(explained)[0].startswith("No step was marked")


@needs_host_in_gpu_steps
def test_of_several_machines_the_one_that_waits_most_is_explained(tmp_path, fast, waiting):
    folder = tmp_path / "plugins" / "profile" / "2026_01_01_00_00_00"
    folder.mkdir(parents=True)
    shutil.copy(fast, folder / "quick.xplane.pb")
    shutil.copy(waiting, folder / "waiting.xplane.pb")
    assert trace.explain(folder).host == "waiting"


def test_of_several_workers_the_one_that_waits_most_is_explained_and_of_a_run_the_first(
    tmp_path, fast, waiting
):
    """Worker 2's newest trace waits; an older one of its own, and another run, do not count."""
    runs = tmp_path / "runs"
    for at, (folder, file) in enumerate(
        [
            ("other/tensorboard/worker-1/plugins/profile/1/other", waiting),
            ("run/tensorboard/worker-1/plugins/profile/1/before", waiting),
            ("run/tensorboard/worker-1/plugins/profile/2/one", fast),
            ("run/tensorboard/worker-2/plugins/profile/1/two", waiting),
            ("run/tensorboard/plugins/profile/1/first", fast),
            ("run/tensorboard/worker-3/plugins/profile/1/three", fast),
        ]
    ):
        place = runs / f"{folder}.xplane.pb"
        place.parent.mkdir(parents=True)
        shutil.copy(file, place)
        os.utime(place, (1e9 + at, 1e9 + at))
    names = ["first", "one", "two", "three"]
    for path in (runs, runs / "run"):
        assert [file.name.split(".")[0] for file in trace_files(path)] == names
    assert trace.explain(runs / "run").host == "two"
    found = trace.explain_run(runs / "run")
    assert found is not None and found.host == "first"


def test_the_newest_trace_of_a_run_is_explained(tmp_path, fast):
    profiles = tmp_path / "tensorboard" / "plugins" / "profile"
    assert trace.explain_run(tmp_path) is None
    for age, name in ((100, "first"), (0, "second")):
        (profiles / name).mkdir(parents=True)
        file = profiles / name / f"{name}.xplane.pb"
        shutil.copy(fast, file)
        os.utime(file, (1e9 - age, 1e9 - age))
    explained = trace.explain_run(tmp_path)
    assert explained is not None and explained.host == "second"
    assert explained == trace.explain(tmp_path)  # a RUN will do, too


def damaged(fast):
    whole = fast.read_bytes()
    return {
        "half of it is there": whole[: len(whole) // 2],
        "it is something else": b"no trace at all, this",
        "it is empty": b"",
    }


def test_a_damaged_trace_is_a_sentence(tmp_path, fast):
    for number, (name, content) in enumerate(damaged(fast).items()):
        file = tmp_path / f"{number}.xplane.pb"
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"the trace '.*' (cannot be read|is empty)") as error:
            trace.explain(file)
        assert "\n" not in str(error.value), name


def test_a_path_without_a_trace_is_a_sentence(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="no trace at"):
            trace.explain(path)


def test_a_run_ends_with_what_its_trace_adds(train_here, class_data, tmp_path):
    config = datasets.configuration(
        datasets.CLASSIFICATION,
        epochs=1,
        steps_per_epoch=9,
        profile__steps=(3, 9),
        augment__enabled=True,
        augment__flip=True,
        augment__zoom=0.1,
        augment__rotation=0.1,
    )
    report = train_here(config, class_data, tmp_path)
    explained = trace.explain_run(tmp_path)
    assert explained is not None and explained.steps == 7
    # With the caveats of the machine: it may be busy with something else.
    rows = RunDirectory(str(tmp_path)).rows()
    loop = refined(loop_verdict(rows), explained, rows[-1]["step_ms"])
    own = as_json(with_caveats(loop, rows))
    assert report["bottleneck"] == own
    assert {"model", "device_preprocess"} <= set(by_trace(explained)["shares"])
    # Each part of reading and of a step is told from the others by its operations.
    stages = {op.stage for op in explained.operations}
    assert {"storage", "parse", "decode", "host_map"} <= stages
    assert {"device_preprocess", "model", "host_overhead"} <= stages
    layer, share = costliest_layer(explained)
    assert layer in ("flip", "zoom_rotation") and 0.5 <= share < 1
    assert explained.cores == math.ceil(available_cores())


def test_a_report_does_without_a_trace_that_cannot_be_read(tmp_path, capsys):
    profile = tmp_path / "tensorboard" / "plugins" / "profile" / "session"
    profile.mkdir(parents=True)
    (profile / "host.xplane.pb").write_bytes(b"no trace at all, this")
    assert reporting._trace(RunDirectory(str(tmp_path))) is None
    assert "warning: the trace of this run cannot be explained" in capsys.readouterr().err


def test_a_pipe_in_place_of_a_trace_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.xplane.pb")
    with pytest.raises(DataError, match="not a regular file"):
        trace.explain(tmp_path)
