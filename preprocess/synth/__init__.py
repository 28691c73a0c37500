"""A synthetic set in the layout of Google's facial expression comparison, to try everything on.

`expression.py` says what an expression is and how far apart two of them are, `face.py` draws one,
`annotators.py` picks triplets and votes on them, `dataset.py` writes the set and measures what
its own expression numbers reach on it. Pure but for `dataset.py`; OpenCV and numpy only.
"""

from preprocess.synth.dataset import oracle, synthesise

__all__ = ["oracle", "synthesise"]
