"""A synthetic set in the layout of Google's facial expression comparison, to try everything on.

expression.py says what an expression is and how far apart two of them are, face.py draws one,
numbered.py all of a set on several cores, annotators.py picks triplets and votes on them,
dataset.py writes the set and measures what its own expression numbers reach on it. Imports shards
and the shell, OpenCV and numpy.
Start reading at dataset.py.
"""
