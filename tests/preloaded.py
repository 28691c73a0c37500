"""What the process that tests' commands are forked from has imported: the slow imports of all
commands, quietly, and nothing that starts a thread of its own or looks at the devices. The modules
of the commands themselves define flags, so each command imports its own.
"""

import gc
import os

from preprocess.shell.quiet import hush

# TensorFlow reads it once. The commands set it to this where the user did not.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
hush()

from trainer.compat import quiet  # noqa: E402

quiet.silence()

from preprocess.engines.light_import import without_connectors  # noqa: E402

with without_connectors():  # as a local build does
    import apache_beam.runners.portability.fn_api_runner  # noqa: F401
import cv2  # noqa: E402, F401
import matplotlib.pyplot  # noqa: E402, F401
import tensorflow  # noqa: E402

assert tensorflow.keras.layers  # Keras is imported at its first use

import trainer.train  # noqa: E402, F401

# The processes to be forked share what is there: their collector does not walk through it. What a
# command makes itself is collected as often as in a process that was started.
gc.collect()
gc.freeze()
