"""Where a running command listens, seen from outside, and what docs/security.md says of it."""

from __future__ import annotations

import ipaddress
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests import forked

ROOT = Path(__file__).resolve().parent.parent
NOTHING, LOOPBACK, EVERYWHERE = "nothing", "loopback", "all interfaces"
SECONDS = 240.0  # of a command, on a busy machine
SERVING_SECONDS = 2.0  # a server is watched after it was first seen listening
ROW = re.compile(r"^\| (`[^|]+) \| ([^|;]+)[^|]* \| [^|]+ \|$", re.MULTILINE)


def documented() -> dict[str, str]:
    """Command -> where it listens, of the table below `## Sockets`."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    return {
        row[1].replace("`", "").strip(): row[2].strip()
        for row in ROW.finditer(text.partition("## Sockets")[2].partition("\n## ")[0])
    }


def tree(process: psutil.Process) -> Iterator[psutil.Process]:
    """A process and all below it that are still there."""
    yield process
    try:
        yield from process.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def reached_by(process: psutil.Process) -> set[str]:
    """Who could reach the TCP ports that a process listens on, and the UDP ports that it has."""
    found = set()
    for connection in process.net_connections("inet"):
        waits_for_anybody = connection.type == socket.SOCK_DGRAM and not connection.raddr
        if connection.status == psutil.CONN_LISTEN or waits_for_anybody:
            address = ipaddress.ip_address(connection.laddr.ip)
            mapped = getattr(address, "ipv4_mapped", None) or address
            found.add(LOOPBACK if mapped.is_loopback else EVERYWHERE)
    return found


def watch(command: Sequence[str], serves: bool = False, code: int = 0) -> str:
    """Where `python -m COMMAND` listens: the most exposed of all that was seen.

    Args:
      command: module and arguments.
      serves: it ends when it is told to, and is, a while after it was seen listening.
      code: with which it has to end otherwise.
    """
    with forked.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as started:
        seen: set[str] = set()
        begun, listening_since = time.monotonic(), None
        root = psutil.Process(started.pid)
        while started.poll() is None:
            now = time.monotonic()
            assert now - begun < SECONDS, f"{command} does not end; it listens on {seen}"
            for process in tree(root):
                try:
                    seen |= reached_by(process)
                except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
                    continue
            if serves and seen:
                listening_since = listening_since or now
                if now - listening_since > SERVING_SECONDS:
                    started.terminate()
            time.sleep(0.002)
        assert started.stderr is not None
        talk = started.stderr.read()
        assert serves or started.returncode == code, talk
        assert "Traceback" not in talk, talk
    return EVERYWHERE if EVERYWHERE in seen else LOOPBACK if seen else NOTHING
