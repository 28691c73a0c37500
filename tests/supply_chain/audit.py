"""Compares both stacks with known vulnerabilities, offline.

    python -m tests.supply_chain.audit --advisories=FILE.zip|FOLDER [--stack=NAME]

The advisories are records of OSV (https://ossf.github.io/osv-schema/), a JSON file each: the
archive `PyPI/all.zip` of osv.dev's data dump, or a folder of such files. accepted.txt names those
that do not concern us, each with the reason. Ends with 1 where one does, and with 69 where there
are no advisories: nothing is known then, and nothing is said to be well.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from preprocess.shell.escaped_output import escape_output
from preprocess.shell.exit_codes import ExitCode
from tests.supply_chain.pins import STACKS, Pin, normalised, pins_of

ACCEPTED = Path(__file__).parent / "accepted.txt"
VARIABLE = "SHARDLINE_ADVISORIES"  # the same as --advisories, for CI
Advisory = dict[str, Any]


def read_advisories(path: Path) -> Iterator[Advisory]:
    """Every record in an archive or folder; raises OSError or ValueError where there is none."""
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            yield json.loads(file.read_bytes())
        return
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def findings(pins: Sequence[Pin], advisories: Iterable[Advisory]) -> list[tuple[Pin, Advisory]]:
    """Pins and the advisories that concern their versions; withdrawn ones are left out."""
    by_name = {pin.name: pin for pin in pins}
    found = []
    for advisory in advisories:
        if advisory.get("withdrawn"):
            continue
        for affected in advisory.get("affected", ()):
            package = affected.get("package", {})
            pin = by_name.get(normalised(package.get("name", "")))
            if pin and package.get("ecosystem") == "PyPI" and _concerns(pin.version, affected):
                found.append((pin, advisory))
                break
    return sorted(found, key=lambda pair: (pair[0].name, pair[1]["id"]))


def accepted_ids(text: str) -> dict[str, str]:
    """Advisory -> reason, of lines `ID reason`; raises ValueError for one without a reason."""
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(" ")
            if not reason.strip():
                raise ValueError(f"{name}: no reason")
            found[name] = reason.strip()
    return found


def _concerns(version: str, affected: Advisory) -> bool:
    if version in affected.get("versions", ()):
        return True
    ranges = [r for r in affected.get("ranges", ()) if r.get("type") == "ECOSYSTEM"]
    return any(_in_range(Version(version), r.get("events", ())) for r in ranges)


def _in_range(version: Version, events: Iterable[dict[str, str]]) -> bool:
    """OSV's rule: the last event that is not above the version decides."""
    inside = False
    for event in sorted(events, key=_place):
        (kind, text), *_ = event.items()
        at = _version(text)
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _place(event: dict[str, str]) -> Version:
    return _version(next(iter(event.values())))


def _version(text: str) -> Version:
    """A version of an advisory; one that is none, which is rare, counts as the least."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0")


def main() -> int:
    """Prints a line a finding."""
    escape_output()
    parser = argparse.ArgumentParser(prog="python -m tests.supply_chain.audit")
    parser.add_argument("--advisories", default=os.environ.get(VARIABLE, ""))
    parser.add_argument("--stack", choices=list(STACKS), action="append")
    given = parser.parse_args()
    if not given.advisories:
        print(f"not audited: no --advisories, and ${VARIABLE} is not set", file=sys.stderr)
        return ExitCode.UNAVAILABLE
    try:
        advisories = list(read_advisories(Path(given.advisories)))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"not audited: {given.advisories}: {error}", file=sys.stderr)
        return ExitCode.UNAVAILABLE
    if not advisories:
        print(f"not audited: no advisory in {given.advisories}", file=sys.stderr)
        return ExitCode.UNAVAILABLE
    accepted, open_ones = accepted_ids(ACCEPTED.read_text(encoding="utf-8")), 0
    for stack in given.stack or STACKS:
        pins = pins_of(stack)
        for pin, advisory in findings(pins, advisories):
            names = {advisory["id"], *advisory.get("aliases", ())}
            reason = next((accepted[name] for name in sorted(names) if name in accepted), "")
            open_ones += not reason
            verdict = f"accepted: {reason}" if reason else advisory.get("summary", "")
            print(f"{stack}: {pin.name} {pin.version}: {advisory['id']}: {verdict}")
        print(f"{stack}: {len(pins)} packages held against {len(advisories)} advisories")
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main())
