"""Beam is imported without clients of clouds, which can be imported afterwards."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.preprocess import made

IMPORTS = """
import json, sys
from preprocess.engines.light_import import CONNECTORS, without_connectors
from preprocess.shell import quiet
quiet.hush()
with without_connectors():
    from apache_beam.runners.worker import sdk_worker_main
    import preprocess.engines.beam_job
absent = [name for name in CONNECTORS if name not in sys.modules]
from google.cloud import storage
from apache_beam.io.gcp import gcsfilesystem
import pyarrow
print(json.dumps([absent == list(CONNECTORS), storage.__name__, pyarrow.__name__]))
"""


def test_a_local_build_imports_no_client_and_may_do_so_later():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        env=made.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [True, "google.cloud.storage", "pyarrow"]
