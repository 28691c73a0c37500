"""A worker process of a local run: Beam's own, but quiet (`python -m preprocess.worker`)."""

from __future__ import annotations

import contextlib
import os
import sys

from preprocess import quiet
from preprocess.stopping import end_with_parent

if __name__ == "__main__":
    if "--end_with_parent" in sys.argv:
        end_with_parent()
    quiet.hush()
    from apache_beam.runners.worker import sdk_worker_main

    # It prints every exception before it passes it on to the process that reports it.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        sdk_worker_main.main(sys.argv)
