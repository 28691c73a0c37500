"""A worker process of a local run: Beam's own, but quiet (`python -m preprocess.worker`)."""

from __future__ import annotations

import sys

from preprocess import quiet

if __name__ == "__main__":
    quiet.hush()
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)
