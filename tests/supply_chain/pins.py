"""The pinned packages of a stack."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STACKS = {"default": "requirements-hashes.txt", "next": "requirements-next-hashes.txt"}
_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)"
    r"(?P<marker>[^\n\\]*)(?P<hashes>(?:\s*\\\n\s+--hash=sha256:[0-9a-f]{64})*)",
    re.MULTILINE,
)


@dataclasses.dataclass(frozen=True)
class Pin:
    """One package.

    Attributes:
      name: as PyPI normalises it (PEP 503).
      version: the only one allowed.
      hashes: sha256 of each file that may be installed.
    """

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def url(self) -> str:
        """The package URL (github.com/package-url/purl-spec), its name in SBOMs and advisories."""
        return f"pkg:pypi/{self.name}@{self.version}"


def normalised(name: str) -> str:
    """A name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> list[Pin]:
    """The pins of a requirements text, sorted; raises ValueError for a line that pins nothing."""
    found = [
        Pin(
            normalised(match["name"]),
            match["version"],
            tuple(re.findall(r"sha256:([0-9a-f]{64})", match["hashes"])),
        )
        for match in _PIN.finditer(text)
    ]
    rest = [
        line
        for line in _PIN.sub("", text).splitlines()
        if line.strip(" \\") and not line.startswith("#")
    ]
    if rest:
        raise ValueError(f"no pin: {rest[0][:80]!r}")
    return sorted(found, key=lambda pin: (pin.name, pin.version))


def pins_of(stack: str) -> list[Pin]:
    """The pins of a stack with their hashes."""
    return pins((ROOT / STACKS[stack]).read_text(encoding="utf-8"))
