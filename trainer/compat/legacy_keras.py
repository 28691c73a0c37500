"""`tf.keras` is Keras 2 on both stacks.

From TensorFlow 2.16 on it is Keras 3, on which hub.KerasLayer and the optimizer interface that
the training step is written for do not work, unless a variable says before TensorFlow is imported
that it is to be tf-keras. The package `trainer` imports this module first, so it is set in every
process that is started. On the default stack `tf.keras` is the Keras that tensorflow-addons was
made for, and must not be another. It can go when the trainer is moved to Keras 3.
"""

import contextlib
import os
from importlib import metadata

with contextlib.suppress(metadata.PackageNotFoundError):
    if int(metadata.version("keras").split(".")[0]) >= 3:
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
