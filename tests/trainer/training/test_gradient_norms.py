"""Norms of gradients and the graph of a step, as TensorBoard's files hold them."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.conftest import strategy
from tests.trainer.monitoring.test_tensorboard_log import events
from tests.trainer.optimizers.plain_keras import configured, plain
from tests.trainer.workers.double_precision import initial_session
from trainer.data.dataset import load_manifest
from trainer.data.reader import open_reader
from trainer.optimizers.gradient_norms import NAME, layer_of
from trainer.training import session
from trainer.training.session import add_optimizer
from trainer.training.step_functions import train_functions
from trainer.workers import devices


def norms_in(run):
    """{tag: {step: norm}} of a run's event files."""
    found = {}
    for event in events(run / "tensorboard" / "train"):
        for value in event.summary.value:
            if value.tag.startswith(NAME):
                found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    return found


def expected_norms(gradients, variables):
    squares = {}
    for gradient, variable in zip(gradients, variables, strict=True):
        layer = layer_of(variable.name)
        squares[layer] = squares.get(layer, 0) + float(np.sum(np.square(gradient)))
    norms = {f"{NAME}/{layer}": np.sqrt(square) for layer, square in squares.items()}
    return {NAME: np.sqrt(sum(squares.values())), **norms}


SHORT = {"epochs": 1, "steps_per_epoch": 6, "deterministic": True, "steps_per_execution": 3}
CASES = {
    "plain": {},
    "clipped": {"optimizer__clip_global_norm": 0.01},
    "accumulated": {"optimizer__accumulate_steps": 2, "optimizer__clip_norm": 0.01},
}


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("case", list(CASES))
def test_norms_are_those_of_plain_keras(case, replicas, class_data, train_here, tmp_path):
    """Of the gradient of the global batch, or of an update's, before clipping; each second step.

    A pass of 21 records has batches of 8, 8 and 5.
    """
    changes = {**SHORT, **CASES[case], "optimizer__learning_rate": 0.01}
    config = configured(tensorboard__gradients=2, **changes)
    train_here(config, class_data, tmp_path / "run", replicas)
    clipped = {"plain": None, "clipped": tf.clip_by_global_norm, "accumulated": tf.clip_by_norm}
    clip, expected, kept = clipped[case], {}, []
    records, steps = itertools.cycle([8, 8, 5]), itertools.count(1)
    apart = 2 if case == "accumulated" else 1

    def update(gradients, variables):
        step = next(steps)
        kept.append((next(records), gradients))
        if len(kept) < apart:
            return
        total = sum(count for count, _ in kept)
        lists = ([g * (count / total) for g in gradients] for count, gradients in kept)
        means = [sum(parts) for parts in zip(*lists, strict=True)]
        kept.clear()
        if step % 2 == 0:
            expected[step] = expected_norms(means, variables)
        if clip is tf.clip_by_global_norm:
            means = clip(means, 0.01)[0]
        elif clip:
            means = [clip(each, 0.01) for each in means]
        for variable, gradient in zip(variables, means, strict=True):
            variable.assign_sub(0.01 * gradient)

    plain(config, class_data, update, 6)
    found = norms_in(tmp_path / "run")
    assert sorted(found) == sorted(expected[2])
    assert f"{NAME}/dense_0" in found
    for tag, by_step in found.items():
        assert sorted(by_step) == [2, 4, 6]
        for step, norm in by_step.items():
            assert norm == pytest.approx(expected[step][tag], rel=1e-4)


def nodes_of_a_step(config, data, replicas):
    built = initial_session(config, data, strategy(replicas))
    add_optimizer(built, 6)
    step, _ = train_functions(built)
    reader = open_reader(data, load_manifest(data), "train", config, training=True)
    parts = devices.distribute(built.strategy, lambda part: reader.dataset(0, part), endless=True)
    return len(step.get_concrete_function(next(iter(parts))).graph.get_operations())


@pytest.mark.parametrize("replicas", [1, 2])
def test_looking_changes_no_weight_and_not_looking_leaves_no_node(
    replicas, class_data, train_here, tmp_path, monkeypatch
):
    """That a graph without them has none is seen where they cannot be made."""
    digests, nodes = [], []
    for every in (0, 2):
        config = configured(tensorboard__gradients=every, optimizer__name="adam", **SHORT)
        report = train_here(config, class_data, tmp_path / str(every), replicas)
        digests.append(report["weights_digest"])
        nodes.append(nodes_of_a_step(config, class_data, replicas))
    assert digests[0] == digests[1]
    assert nodes[1] > nodes[0]
    assert not norms_in(tmp_path / "0")
    monkeypatch.setattr(session, "GradientNorms", None)
    config = configured(optimizer__name="adam", **SHORT)
    assert nodes_of_a_step(config, class_data, replicas) == nodes[0]


@pytest.mark.parametrize("at_once", [1, 3])
def test_the_graph_holds_the_whole_step_and_takes_no_second_trace(
    at_once, class_data, train_here, tmp_path, monkeypatch
):
    from trainer.tasks.task import Task

    traces, loss, counts = [], Task.loss, []

    def traced(self, outputs, batch):
        traces.append(1)
        return loss(self, outputs, batch)

    monkeypatch.setattr(Task, "loss", traced)
    for graph in (True, False):
        config = configured(
            **{**SHORT, "steps_per_execution": at_once, "optimizer__name": "adam"},
            tensorboard__graph=graph,
        )
        traces.clear()
        train_here(config, class_data, tmp_path / str(graph), 1)
        counts.append(len(traces))
    assert counts[0] == counts[1]
    written = [e for e in events(tmp_path / "True" / "tensorboard" / "train") if e.graph_def]
    assert len(written) == 1
    graph = tf.compat.v1.GraphDef.FromString(written[0].graph_def)
    nodes = [*graph.node, *itertools.chain(*(f.node_def for f in graph.library.function))]
    names = [node.name for node in nodes]
    assert any("/dense_0/MatMul" in f"/{name}" for name in names)
    assert any("loss/" in name for name in names)
    assert any("gradient_tape/" in name for name in names)
    assert any("update/" in name and "AssignAddVariableOp" in name for name in names)
