"""Servers of a tf.data service as processes."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys

from tests import forked
from tests.trainer import datasets

DEADLINE = 120  # seconds for a server to be up, on a busy machine
# Of the web, in the environment of each server: it answers nobody.
PROXY = {**dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"), "no_proxy": ""}


class Server:
    """`python -m trainer dataservice` as a process."""

    def __init__(self, *flags):
        self.process = forked.Popen(
            [sys.executable, "-m", "trainer", "dataservice", "--port=0", *flags],
            cwd=datasets.REPOSITORY,
            env={**os.environ, **PROXY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._line = ""

    @property
    def line(self):
        """What it prints once it is up."""
        if not self._line:
            assert select.select([self.process.stdout], [], [], DEADLINE)[0], "not up"
            self._line = self.process.stdout.readline().strip()
            assert self._line, self.process.stderr.read()
        return self._line

    @property
    def address(self):
        return re.search(r"grpc://\S+", self.line)[0]

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


@contextlib.contextmanager
def servers(workers):
    started = [Server("--role=dispatcher")]
    try:
        address = started[0].address
        started += [
            Server("--role=worker", f"--dispatcher={address}", "--advertise=localhost:%port%")
            for _ in range(workers)
        ]
        for server in started:
            assert server.line
        yield started
    finally:
        for server in started:
            server.process.kill()
            server.process.communicate()
