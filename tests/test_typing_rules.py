"""How much of the trainer is typed: `Any` stands where nothing better is known, and seldom."""

from __future__ import annotations

import re
from pathlib import Path

TRAINER = Path(__file__).parents[1] / "trainer"
MOST = 200  # uses and imports; there were 871 before TensorFlow's own types were named


def test_any_is_used_seldom_in_the_trainer():
    """Use tf.Tensor and the like, JsonObject, np.ndarray, a protocol, or object."""
    files = sorted(TRAINER.rglob("*.py"))
    counts = {path: len(re.findall(r"\bAny\b", path.read_text(encoding="utf-8"))) for path in files}
    most = sorted(counts, key=counts.__getitem__)[-3:]
    assert sum(counts.values()) <= MOST, [str(path.relative_to(TRAINER)) for path in most]
