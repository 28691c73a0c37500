"""Which functions AutoGraph rewrites: a user's own and what is handed to TensorFlow, not ours.

AutoGraph makes graph operations of Python's `if` and `for` over tensors. Whatever a traced
function calls is parsed, rewritten and imported from a temporary file for that: dozens of our
functions in every process, a third of the processor time of a short training. None but those that
are handed to `tf.function` or `Dataset.map` themselves has such an `if` or `for`, and those are
rewritten still. Where one of ours is called that needs it, TensorFlow refuses the tensor's truth
value at tracing. The same on both stacks; it can go when TensorFlow has a public way to exempt a
package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf
from tensorflow.python.autograph.core import config

PACKAGE = "trainer"
Result = TypeVar("Result")


def call_own_as_written() -> None:
    """From now on, what is traced calls the functions of this package without rewriting them."""
    rule = config.DoNotConvert(PACKAGE)
    if not any(str(rule) == str(other) for other in config.CONVERSION_RULES):
        config.CONVERSION_RULES = (rule, *config.CONVERSION_RULES)


def converted(function: Callable[..., Result]) -> Callable[..., Result]:
    """A user's function as AutoGraph has it where it is traced, whoever calls it."""

    def call(*arguments: object, **settings: object) -> Result:
        if tf.executing_eagerly():
            return function(*arguments, **settings)
        autograph = tf.__internal__.autograph
        in_context = autograph.tf_convert(function, autograph.control_status_ctx())
        result: Result = in_context(*arguments, **settings)
        return result

    return call
