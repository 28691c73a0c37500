"""Dataset directory -> run directory.

train.py builds a training from its parts: config/ and configs/ are keys and presets, data/ turns a
dataset into batches, models/ and tasks/ are what learns and what is learned, training/ is the loop,
inference/ uses finished runs, report/ and bottleneck/ are what people read, commands/ holds a
module a command. Imports of preprocess the dataset's formats, the shell and the picture decoder
(preprocess/pictures) only; tests/test_import_rules.py has the order of rooms.
Start reading at train.py, then training/.
"""

from trainer.compat import legacy_keras as legacy_keras  # before any module imports TensorFlow
