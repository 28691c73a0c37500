"""For all tests: TensorFlow's start-up lines stay out of the output.

It is not imported here: tests that do not use it do not wait for it.
"""

import os

# Read when TensorFlow is first imported, so before any test module.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
