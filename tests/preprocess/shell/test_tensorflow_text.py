"""The reason in TensorFlow's messages, as they were seen with 2.15."""

from __future__ import annotations

import pytest

from preprocess.shell.tensorflow_text import MAX_CHARACTERS, error_reason


class OpError(Exception):
    """As TensorFlow's: the message is an attribute."""

    def __init__(self, message: str) -> None:
        super().__init__(None, None, message)
        self.message = message


@pytest.mark.parametrize(
    "message",
    [
        "{{function_node f}} It is no picture. [Op:DecodeJpeg]",
        "{{function_node f_1}} It is no picture.\n\t [[{{function_node g}}{{node h/x}}]] [Op:f]",
        "Graph execution error:\n\nDetected at node h/x defined at (most recent call last):\n"
        "<stack traces unavailable>\nIt is no picture.\n\t [[{{node h/x}}]] [Op:f]",
    ],
)
def test_the_reason_alone_is_left(message):
    """Three forms of one error: eager, in a function, in a function traced under pytest."""
    assert error_reason(OpError(message)) == "It is no picture."


def test_of_several_lines_the_first_is_the_reason():
    assert error_reason(OpError("Collective ops is aborted by: x\nThe error could be")) == (
        "Collective ops is aborted by: x"
    )


def test_an_error_of_another_kind_is_taken_by_its_text():
    assert error_reason(RuntimeError("no such device\nhint")) == "no such device"


def test_without_a_reason_there_is_no_text():
    assert error_reason(OpError("[[{{node x}}]]")) == ""


def test_a_long_reason_is_cut():
    assert len(error_reason(OpError("x" * 10_000))) == MAX_CHARACTERS
