"""`python -m tests.kubernetes [PYTEST ARGUMENTS]`: builds what is missing, and runs the tests.

They run in network, process and mount namespaces of their own: fixed ports meet nobody else's,
and when the first process there ends, in whatever way, the kernel ends all others and drops
their files. SHARDLINE_BUILD_SECONDS is the longest a build may take (by default no limit; where
it is not enough, that is said and nothing is run), SHARDLINE_TEST_SECONDS the longest the tests
may: what would begin in the last minutes of it is skipped, with that reason. With KUBELETS=2
there are two nodes, and the tests are those that need them (`nodes.py`).
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from preprocess.shell.process import dying_with_parent
from tests.kubernetes import binaries, image, nodes

# What is kept for the test that runs when no further one may begin: without nodes, and with them.
LONGEST_SECONDS = {False: 180, True: 400}
# The first of them that works: root needs no user namespace.
UNSHARE = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
AS_USER = [*UNSHARE, "--map-root-user"]


def main() -> int:
    """The exit code: pytest's; where nothing can be run, 1, or 0 with a limit for the build."""
    limit = os.environ.get("SHARDLINE_BUILD_SECONDS")
    kubelets = os.environ.get("KUBELETS", "0") != "0"
    try:
        binaries.ready(float(limit) if limit else math.inf, kubelets)
        namespaces = _namespaces()
        if kubelets:
            _ready_for_nodes()
    except binaries.Unavailable as reason:
        print(f"the Kubernetes tests are not run: {reason}", flush=True)
        return 0 if limit else 1
    marked = "kubelets" if kubelets else "kubernetes and not kubelets"
    pytest = [sys.executable, "-m", "pytest", "tests/kubernetes", "-m", marked, "-rs"]
    command = [*namespaces, *pytest, *sys.argv[1:]]
    if not kubelets:
        return _run(command, LONGEST_SECONDS[kubelets], {})
    with _swept() as (environment, held):
        return _run(command, LONGEST_SECONDS[kubelets], environment, held)


def _run(command: list[str], longest: float, environment: dict[str, str], *held: int) -> int:
    seconds = float(os.environ.get("SHARDLINE_TEST_SECONDS") or 1800)
    last = time.time() + seconds - longest
    process = subprocess.Popen(
        command,
        env={**os.environ, "SHARDLINE_LAST_TEST": str(last), **environment},
        pass_fds=held,
        preexec_fn=dying_with_parent(),
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"the Kubernetes tests are not done after {seconds:.0f} s", flush=True)
        return 1
    finally:
        process.kill()
        process.wait()


def _ready_for_nodes() -> None:
    if os.geteuid() != 0:
        raise binaries.Unavailable("kubelets need root")
    nodes.install()
    image.ready()


@contextlib.contextmanager
def _swept() -> Iterator[tuple[dict[str, str], int]]:
    """A folder and a control group by name, and what the tests' process has to hold: `sweep.py`
    removes both once it, and this process, are gone, even if both are killed.
    """
    folder = tempfile.mkdtemp(prefix="nodes-", dir=binaries.CACHE)
    group = f"shardline-{os.path.basename(folder)}"
    read, write = os.pipe()
    command = [sys.executable, "-m", "tests.kubernetes.sweep", folder, group]
    sweeper = subprocess.Popen(command, stdin=read, start_new_session=True)
    os.close(read)
    try:
        yield {nodes.FOLDER: folder, nodes.GROUP: group}, write
    finally:
        os.close(write)
        if sweeper.wait():
            print(f"left behind: '{folder}', control group '{group}'", flush=True)


def _namespaces() -> list[str]:
    said = ""
    for command in (UNSHARE, AS_USER):
        try:
            trial = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise binaries.Unavailable("no 'unshare' on this machine") from None
        if trial.returncode == 0:
            return command
        said = trial.stderr.strip()
    raise binaries.Unavailable(f"no namespaces of their own for them ({said})")


if __name__ == "__main__":
    sys.exit(main())
