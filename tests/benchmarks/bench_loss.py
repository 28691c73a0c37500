"""The triplet loss against splitting the batch into triplets in Python.

    python -m tests.benchmarks.bench_loss [--json]

Both sides are one compiled function of a batch of 64 triplets, loss and gradient by the
embeddings, in turn A B A B; a figure is the median over the rounds. The split side is the formula
as one writes it first: a Python loop that unrolls 64 triplets into the graph.

`step` is the time inside a graph, where the loss stands in training; `call` is that of a function
of the loss alone, called from Python, most of which on our side is the call.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from trainer.losses import triplet_loss

TRIPLETS, EMBEDDING, DELTA = 64, 128, 0.5
ROUNDS, STEPS = 5, 100
# What the project promises.
STEP_BAR, TRACE_BAR = 10.0, 20.0


def split_loss(embeddings: Any, votes: Any, delta: float) -> Any:
    """The same loss, triplet by triplet in Python; arguments and result as `triplet_loss`."""

    def d(a: Any, b: Any) -> Any:
        return tf.reduce_sum(tf.square(a - b))

    def h(far: Any, n1: Any, n2: Any) -> Any:
        between = d(n1, n2)
        return tf.nn.relu(between - d(n1, far) + delta) + tf.nn.relu(between - d(n2, far) + delta)

    losses = []
    for triplet, vote in zip(tf.unstack(embeddings), tf.unstack(votes), strict=True):
        one, two, three = tf.unstack(triplet)
        losses.append(
            vote[0] * h(one, two, three)
            + vote[1] * h(two, one, three)
            + vote[2] * h(three, one, two)
        )
    return tf.stack(losses)


def compiled(loss: Callable[[Any, Any, float], Any]) -> Any:
    """A new function (embeddings, votes) -> (mean loss, gradient), not traced yet."""

    @tf.function
    def step(embeddings: Any, votes: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            mean = tf.reduce_mean(loss(embeddings, votes, DELTA))
        return mean, tape.gradient(mean, embeddings)

    return step


def looped(loss: Callable[[Any, Any, float], Any]) -> Any:
    """A function (embeddings, votes, steps): so many steps of gradient descent in one call."""

    @tf.function
    def run(embeddings: Any, votes: Any, steps: Any) -> Any:
        for _ in tf.range(steps):
            with tf.GradientTape() as tape:
                tape.watch(embeddings)
                mean = tf.reduce_mean(loss(embeddings, votes, DELTA))
            # Each step depends on the one before, so none can be left out.
            embeddings -= 1e-3 * tape.gradient(mean, embeddings)
        return embeddings

    return run


def measure(rounds: int = ROUNDS, steps: int = STEPS) -> dict[str, Any]:
    """Times of both sides in milliseconds, and their ratios (ours is the faster above 1)."""
    rng = np.random.default_rng(0)
    embeddings = tf.constant(rng.normal(size=(TRIPLETS, 3, EMBEDDING)).astype("float32"))
    votes = tf.constant(rng.dirichlet(np.ones(3), TRIPLETS).astype("float32"))
    sides = {"vectorised": triplet_loss, "split": split_loss}
    for loss in sides.values():  # what TensorFlow loads at its first trace is nobody's time
        compiled(loss)(embeddings[:2], votes[:2])
    loops = {side: looped(loss) for side, loss in sides.items()}
    for loop in loops.values():
        loop(embeddings, votes, tf.constant(1))
    times: dict[str, list[float]] = {
        f"{side}_{what}": [] for side in sides for what in ("trace", "call", "step")
    }
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for side, loss in sides.items():
            step = compiled(loss)
            begun = time.perf_counter()
            concrete = step.get_concrete_function(embeddings, votes)
            times[f"{side}_trace"].append(time.perf_counter() - begun)
            results[side] = concrete(embeddings, votes)  # the first call optimises the graph
            begun = time.perf_counter()
            for _ in range(steps):
                concrete(embeddings, votes)[0].numpy()
            times[f"{side}_call"].append((time.perf_counter() - begun) / steps)
            begun = time.perf_counter()
            loops[side](embeddings, votes, tf.constant(steps)).numpy()
            times[f"{side}_step"].append((time.perf_counter() - begun) / steps)
    for ours, theirs in zip(results["vectorised"], results["split"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    report: dict[str, Any] = {f"{k}_ms": 1e3 * statistics.median(v) for k, v in times.items()}
    for what in ("step", "call", "trace"):
        report[f"{what}_ratio"] = report[f"split_{what}_ms"] / report[f"vectorised_{what}_ms"]
    report.update(triplets=TRIPLETS, embedding=EMBEDDING, step_bar=STEP_BAR, trace_bar=TRACE_BAR)
    report["ok"] = report["step_ratio"] >= STEP_BAR and report["trace_ratio"] >= TRACE_BAR
    return report


def main() -> None:
    """Measure and print: a table, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    as_json = parser.parse_args().json
    report = measure()
    if as_json:
        print(json.dumps(report))
        return
    print(f"triplet loss and gradient, batch {TRIPLETS}, embedding {EMBEDDING}")
    print("         vectorised      split   ratio   bar")
    for what, bar in (("step", STEP_BAR), ("call", None), ("trace", TRACE_BAR)):
        ours, theirs = report[f"vectorised_{what}_ms"], report[f"split_{what}_ms"]
        ratio, goal = report[f"{what}_ratio"], f"{bar:3.0f} x" if bar else ""
        print(f"  {what:5} {ours:8.2f} ms {theirs:7.1f} ms {ratio:5.1f} x {goal}".rstrip())


if __name__ == "__main__":
    main()
