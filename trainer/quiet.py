"""Keeps TensorFlow's and its friends' start-up talk from the user. Imported before them."""

import logging
import os
import warnings


def silence() -> None:
    """Sets what must be set before TensorFlow is imported; a value the user gave stands."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for category in (FutureWarning, DeprecationWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
