"""`python -m trainer.search.leash PARENT train ...`: the trainer, gone when its parent is.

A search that is killed must not leave a run behind that writes into a folder which the next
process is about to go on in.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

if __name__ == "__main__":
    parent = int(sys.argv.pop(1))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(os.EX_TEMPFAIL)
    runpy.run_module("trainer", run_name="__main__", alter_sys=True)
