"""What a user can get wrong, as exceptions that carry their exit code.

The message is what the user sees, alone on stderr: what was received and what to do.
"""

from __future__ import annotations

import errno
import os

from preprocess.shell.exit_codes import ExitCode

# What the system reports where a file may not grow: no space, over quota, file too big. Raised in
# a worker of Beam's, it arrives as the text "[Errno NUMBER]" inside another exception; TensorFlow
# wraps it into an error of its own, without the number.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """A mistake of the user's, not a fault of ours: printed without a traceback."""

    exit_code: int = ExitCode.USAGE

    def __str__(self) -> str:
        """The message; where a library has raised it again inside many lines of its own, as
        TensorFlow and Keras do for whatever a traced function raises, the message alone.
        """
        message, before = super().__str__(), self.__context__
        if "\n" in message and type(before) is type(self) and str(before) in message:
            return str(before)
        return message


class UsageError(UserError):
    """A flag or argument that is not valid (64)."""

    exit_code = ExitCode.USAGE


class DataError(UserError):
    """Input data that is missing, damaged, or bad beyond the budget (65)."""

    exit_code = ExitCode.DATA


class OutputError(UserError):
    """An output that takes no more, such as a full disk (74)."""

    exit_code = ExitCode.STORAGE


class ConfigError(UserError):
    """A recipe or configuration with an unknown key or a bad value (78)."""

    exit_code = ExitCode.CONFIG


class StorageError(UserError):
    """A storage that cannot be reached or does not respond, after retries (74)."""

    exit_code = ExitCode.STORAGE


class UnavailableError(UserError):
    """A service that does not respond (69)."""

    exit_code = ExitCode.UNAVAILABLE


class EngineError(UserError):
    """A cluster that does not respond, or a job that failed there (69).

    `passing` is true where the same job may do better a little later.
    """

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class RestartError(UserError):
    """What another try may mend: the same command continues (75)."""

    exit_code = ExitCode.SAVED


class LostPeerError(UserError):
    """Another worker of the run is gone or did not come: the same command continues (76)."""

    exit_code = ExitCode.LOST_PEER


def full_disk(error: BaseException) -> str | None:
    """The system's own message where an error is that of a full disk, else None."""
    for code in DISK_FULL:
        message = os.strerror(code)
        if getattr(error, "errno", None) == code or message in str(error):
            return message.lower()
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its class if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
