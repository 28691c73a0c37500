"""Keeps TensorFlow's and its friends' start-up talk from the user. Imported before them."""

import logging
import os
import re
import sys
import tempfile
import warnings

# Newer TensorFlow writes these while it is imported, before anything can set up its log.
_STARTING = re.compile(rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} ")


def silence() -> None:
    """Sets what must be set before TensorFlow is imported; a value the user gave stands.

    Imports TensorFlow where that cannot be set.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for category in (FutureWarning, DeprecationWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3" and os.environ.get("TF_USE_LEGACY_KERAS"):
        _import_tensorflow()


def _import_tensorflow() -> None:
    """Imports it without what it writes to stderr meanwhile, but for errors.

    Of the next stack only: TF_CPP_MIN_LOG_LEVEL no longer reaches these lines. It can go
    when that is mended.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            import tensorflow as tensorflow
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            for line in file:
                if not _STARTING.match(line):
                    os.write(2, line)
