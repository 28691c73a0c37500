"""For all tests: what is set before any of them.

TensorFlow's start-up lines stay out of the output. It is not imported here: tests that do not use
it do not wait for it.
"""

import os
import signal

# Read when TensorFlow is first imported, so before any test module.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# In the background of a script Ctrl-C is ignored, and by all processes that a test starts as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
