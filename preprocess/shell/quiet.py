"""Keeps away from the user what libraries say on their own: stderr is for our lines."""

from __future__ import annotations

import logging
import warnings


def hush() -> None:
    """To be called before Beam is imported, in every process that imports it.

    Google's packages warn at import of Python versions to come, Beam of packages that it can do
    without, and its runners repeat as a log what they raise as an exception anyway.
    """
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"google\.|apache_beam")
    # A root logger without a handler gets one for stderr at the first message.
    logging.getLogger().addHandler(logging.NullHandler())
