"""What a test needs of one of the two stacks."""

from importlib.util import find_spec

import pytest

from trainer.compat import addons

needs_addons = pytest.mark.skipif(
    not addons.installed(), reason="there is no tensorflow-addons for this TensorFlow"
)
needs_host_in_gpu_steps = pytest.mark.skipif(
    find_spec("xprof") is not None,
    reason="the newer analysis counts a GPU's step from its first kernel (docs/stacks.md)",
)
