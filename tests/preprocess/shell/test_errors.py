"""What a user reads of an error that libraries have wrapped."""

import pytest

from preprocess.shell.errors import ConfigError, DataError

MESSAGE = "augment.crop=64 does not fit: lower it"


def wrapped(times, kind=ConfigError):
    """The error of a traced function: raised again as the same class, with lines around it."""
    try:
        if times:
            wrapped(times - 1)
        raise ConfigError(MESSAGE)
    except ConfigError as error:
        if not times:
            raise
        raise kind(
            f"in user code:\n\n    File x\n\n    {error.args[0]}\n\n  training=True"
        ) from None


@pytest.mark.parametrize("times", [0, 1, 3])
def test_lines_around_the_message_are_left_out(times):
    with pytest.raises(ConfigError) as caught:
        wrapped(times)
    assert str(caught.value) == MESSAGE


def test_an_error_that_another_one_was_raised_for_keeps_its_own_words():
    with pytest.raises(DataError) as caught:
        wrapped(1, DataError)
    assert str(caught.value).startswith("in user code")
    outer = ConfigError(f"the file x: {MESSAGE}")
    outer.__context__ = ConfigError(MESSAGE)
    assert str(outer) == f"the file x: {MESSAGE}"


def test_two_lines_of_our_own_are_both_shown():
    assert str(ConfigError("what\nwhat to do")) == "what\nwhat to do"
