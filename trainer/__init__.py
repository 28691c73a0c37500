"""Dataset directory -> run directory.

`configs/` holds the presets, `order.py` and `reader/` turn a dataset into batches, `models/`
holds backbones and heads, `loop.py` trains, `evaluation.py` measures, `report/` draws what
people look at, `commands/` holds a module a command. Of `preprocess`, only
`preprocess.dataset_format` is imported.
"""

from trainer.compat import legacy_keras as legacy_keras  # before any module imports TensorFlow
