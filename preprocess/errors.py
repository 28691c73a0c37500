"""What a user can get wrong, as exceptions that carry their exit code.

The message is what the user sees, alone on stderr: what was received and what to do.
"""

import errno
import os

# An output that takes no more: no space, over quota, file too big. Raised in a worker of Beam's,
# it arrives as the text "[Errno NUMBER]" inside another exception.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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


class LostWorker(UserError):
    """A worker process that ended on its own: the same command goes on (75)."""

    exit_code = os.EX_TEMPFAIL


class StorageError(UserError):
    """A storage that cannot be reached or does not answer, after retries (74)."""

    exit_code = os.EX_IOERR


class EngineError(UserError):
    """A cluster that does not answer, or a job that failed there (69).

    `passing` is true where the same job may do better a little later.
    """

    exit_code = os.EX_UNAVAILABLE

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class ConfigError(UserError):
    """A recipe or configuration with an unknown key or a bad value (78)."""

    exit_code = os.EX_CONFIG
