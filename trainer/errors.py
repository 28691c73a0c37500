"""What a user can get wrong, as exceptions that carry their exit code.

The message is what the user sees, alone on stderr: what was received and what to do.
"""

import errno
import os

# What the system says where a file may not grow: the disk, the quota, the limit of a process.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """A mistake of the user's, not a fault of ours: printed without a traceback."""

    exit_code = os.EX_USAGE


class UsageError(UserError):
    """A flag or argument that cannot be (64)."""

    exit_code = os.EX_USAGE


class DataError(UserError):
    """Input data that is missing, damaged, or bad beyond the budget (65)."""

    exit_code = os.EX_DATAERR


class OutputError(UserError):
    """An output that takes no more, such as a full disk (74)."""

    exit_code = os.EX_IOERR


class ConfigError(UserError):
    """A recipe or configuration with an unknown key or a bad value (78)."""

    exit_code = os.EX_CONFIG


class StorageError(UserError):
    """A storage that cannot be reached or does not answer (74)."""

    exit_code = os.EX_IOERR


class UnavailableError(UserError):
    """A service that does not answer (69)."""

    exit_code = os.EX_UNAVAILABLE


class RestartError(UserError):
    """What another try may mend, such as a lost worker (75)."""

    exit_code = os.EX_TEMPFAIL


def full_disk(error: BaseException) -> str | None:
    """The system's words where an error is that of a full disk, else None.

    TensorFlow wraps them into errors of its own, without the number.
    """
    for code in _FULL:
        words = os.strerror(code)
        if getattr(error, "errno", None) == code or words in str(error):
            return words.lower()
    return None
