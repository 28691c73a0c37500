"""Picks triplets worth asking about, and votes on them as annotators would."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preprocess.synth.expression import PROTOTYPES, distances

# The three types of the original set: how many expression classes its three faces come from.
TYPES = ("ONE_CLASS_TRIPLET", "TWO_CLASS_TRIPLET", "THREE_CLASS_TRIPLET")
_TYPE_SHARES = (0.2, 0.5, 0.3)  # two of one class and one of another ask the clearest question

MIN_ANNOTATORS, MAX_ANNOTATORS = 6, 9  # "at least six"
# How far off an annotator sees each number of an expression (standard deviation): so chosen that
# they agree on clear triplets and disagree on close ones.
PERCEPTION_NOISE = 0.2

MIN_FACES = 3 * len(PROTOTYPES)  # of a split, so that every class has three different faces


def pick_triplet(
    classes: Sequence[Sequence[int]], rng: np.random.Generator
) -> tuple[list[int], str]:
    """Three different faces in random order, and the triplet's type.

    Args:
      classes: the faces of each expression class, at least three of each.
      rng: the source of chance.
    """
    kind = int(rng.choice(len(TYPES), p=_TYPE_SHARES))
    a, b, c = rng.permutation(len(classes))[:3]
    sources = ((a, 3),), ((a, 2), (b, 1)), ((a, 1), (b, 1), (c, 1))
    faces = [
        int(face)
        for source, count in sources[kind]
        for face in rng.choice(classes[source], count, replace=False)
    ]
    return rng.permutation(faces).tolist(), TYPES[kind]


def vote(expressions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The share of simulated annotators who call each picture the odd one out.

    Each of six to nine annotators sees every expression a little differently, and names the
    picture that is not one of the most similar two.

    Args:
      expressions: float[3, 5].
      rng: the source of chance.

    Returns:
      float64[3], sums to 1.
    """
    annotators = int(rng.integers(MIN_ANNOTATORS, MAX_ANNOTATORS + 1))
    seen = expressions + rng.normal(0, PERCEPTION_NOISE, (annotators, *expressions.shape))
    odd = distances(seen).argmin(axis=-1)
    return np.bincount(odd, minlength=3) / annotators


def judge(expressions: np.ndarray, votes: np.ndarray) -> tuple[int, int]:
    """Triplets that the expression numbers themselves get right, and triplets that count.

    A triplet counts when its highest vote is above 0.5; it is right when both distances from that
    picture are greater than the distance between the other two.

    Args:
      expressions: float[T, 3, 5].
      votes: float[T, 3].
    """
    counted = votes.max(axis=1) > 0.5
    odd = votes.argmax(axis=1)
    between = distances(expressions)
    others = np.take_along_axis(between, odd[:, None], axis=1)
    closer = (between > others).sum(axis=1) == 2
    return int((closer & counted).sum()), int(counted.sum())
