"""What an exit code of a worker means to whoever starts it: the same on every back end."""

from __future__ import annotations

import os

DONE = os.EX_OK
USAGE, DATA, DIVERGED, CONFIG = os.EX_USAGE, os.EX_DATAERR, os.EX_SOFTWARE, os.EX_CONFIG
RESTART = os.EX_TEMPFAIL  # 75: saved after a signal, or lost a peer

# Trying again would end the same way.
NEVER_RETRIED = (USAGE, DATA, DIVERGED, CONFIG)  # 64, 65, 70, 78
