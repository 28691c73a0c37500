"""What an exit code of a worker means to whoever starts it: the same on every back end.

The numbers are the trainer's own.
"""

from __future__ import annotations

import os

from trainer.gang import FINAL_CODES, RESTART_CODE

DONE = os.EX_OK
USAGE, DATA, DIVERGED, CONFIG = FINAL_CODES
RESTART = RESTART_CODE  # 75: saved after a signal, or lost a peer

# Trying again would end the same way.
NEVER_RETRIED = FINAL_CODES  # 64, 65, 70, 78
