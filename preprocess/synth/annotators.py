"""Picks triplets worth asking about, and votes on them as annotators would."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preprocess.synth.expression import PROTOTYPES, distances

# The three types of the original set: how many expression classes its three faces come from.
TYPES = ("ONE_CLASS_TRIPLET", "TWO_CLASS_TRIPLET", "THREE_CLASS_TRIPLET")
_TYPE_SHARES = (0.2, 0.5, 0.3)  # two of one class and one of another ask the clearest question
# By type, for each of its faces: which of the classes it is from, and how many come from it before.
_CLASS_OF_FACE = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 2]])
_TAKEN_BEFORE = np.array([[0, 1, 2], [0, 1, 0], [0, 0, 0]])

MIN_ANNOTATORS, MAX_ANNOTATORS = 6, 9  # "at least six"
# How far off an annotator sees each number of an expression (standard deviation): so chosen that
# they agree on clear triplets and disagree on close ones.
PERCEPTION_NOISE = 0.2

MIN_FACES = 3 * len(PROTOTYPES)  # of a split, so that every class has three different faces


def pick_triplets(
    classes: Sequence[Sequence[int]], count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Three different faces each, in random order, and what type of triplet they are.

    Args:
      classes: the faces of each expression class, at least three of each.
      count: T, how many triplets.
      rng: the source of chance.

    Returns:
      int64[T, 3], the faces, and int64[T], each triplet's place in `TYPES`.
    """
    kinds = rng.choice(len(TYPES), count, p=_TYPE_SHARES)
    order = rng.random((count, len(classes))).argsort(axis=1)
    chosen = np.take_along_axis(order, _CLASS_OF_FACE[kinds], axis=1)  # [T, 3], a class a face
    sizes = np.array([len(faces) for faces in classes])
    # Drawn without replacement: places among what is left, counted past what was taken before.
    places = rng.integers(0, sizes[chosen] - _TAKEN_BEFORE[kinds])
    two, three = kinds <= 1, kinds == 0  # so many at least of the first class
    places[:, 1] += two & (places[:, 1] >= places[:, 0])
    for taken in np.sort(places[:, :2], axis=1).T:
        places[:, 2] += three & (places[:, 2] >= taken)
    starts = np.cumsum(sizes) - sizes
    faces = np.concatenate([np.asarray(faces, np.int64) for faces in classes])
    return rng.permuted(faces[starts[chosen] + places], axis=1), kinds


def vote(expressions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The share of simulated annotators who call each picture the odd one out.

    Each of six to nine annotators sees every expression a little differently, and names the
    picture that is not one of the most similar two.

    Args:
      expressions: float[T, 3, 5].
      rng: the source of chance.

    Returns:
      float64[T, 3], each row sums to 1.
    """
    annotators = rng.integers(MIN_ANNOTATORS, MAX_ANNOTATORS + 1, (len(expressions), 1))
    seen = expressions[:, None] + rng.normal(
        0, PERCEPTION_NOISE, (len(expressions), MAX_ANNOTATORS, *expressions.shape[1:])
    )
    odd = distances(seen).argmin(axis=-1)  # [T, annotators]
    asked = np.arange(MAX_ANNOTATORS) < annotators
    named = (odd[..., None] == np.arange(3)) & asked[..., None]
    return named.sum(axis=1) / annotators


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
