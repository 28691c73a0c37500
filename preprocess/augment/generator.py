"""Where a variant's chance comes from: a counter-based generator keyed by what the variant is."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def variant_generator(
    seed: int, recipe_digest: str, image_id: str, variant: int
) -> np.random.Generator:
    """The generator of one variant of one picture; the same key always gives the same numbers.

    Nothing is shared between variants, so they can be made in any order, on any worker, and
    again after a crash. Philox is counter-based: its 128-bit key alone selects the stream
    (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

    Args:
        seed: The build's seed, any integer.
        recipe_digest: `Recipe.digest`; another recipe draws other numbers.
        image_id: The picture's id, any text.
        variant: The variant's number.

    Returns:
        A fresh generator at the beginning of its stream.
    """
    # JSON keeps the four apart ("a", 12 is not "a1", 2) and takes any text, lone surrogates of
    # undecodable file names among them.
    identity = json.dumps([int(seed), recipe_digest, image_id, int(variant)])
    digest = hashlib.sha256(identity.encode("ascii")).digest()
    return seeded_generator(int.from_bytes(digest[:16], "little"))


def seeded_generator(key: int) -> np.random.Generator:
    """A Philox generator with `key` (0 <= key < 2**128) as its key."""
    return np.random.Generator(np.random.Philox(key=key))
