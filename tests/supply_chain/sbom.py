"""The bill of materials of a stack, as CycloneDX 1.5 JSON on stdout.

    python -m tests.supply_chain.sbom [--stack=default|next]

The same pins give the same bytes: no time of day, and a serial number made from the content.
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Sequence
from typing import Any

from tests.supply_chain.pins import STACKS, Pin, pins_of


def sbom(stack: str, pins: Sequence[Pin]) -> dict[str, Any]:
    """The document, as plain data."""
    content = "\n".join(f"{pin.url} {' '.join(pin.hashes)}" for pin in pins)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "shardline", "name": "shardline"},
            "properties": [{"name": "shardline:stack", "value": stack}],
        },
        "components": [_component(pin) for pin in pins],
    }


def _component(pin: Pin) -> dict[str, Any]:
    # A package's hash in CycloneDX is of one file; which of them is installed, pip decides. Each
    # is given as a file that the package may come as.
    files = [
        {"type": "distribution", "url": f"https://pypi.org/project/{pin.name}/{pin.version}/#files",
         "hashes": [{"alg": "SHA-256", "content": digest}]}
        for digest in pin.hashes
    ]  # fmt: skip
    return {
        "type": "library",
        "bom-ref": pin.url,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.url,
        "externalReferences": files,
    }


def main() -> None:
    """Prints it."""
    parser = argparse.ArgumentParser(prog="python -m tests.supply_chain.sbom")
    parser.add_argument("--stack", choices=list(STACKS), default="default")
    stack = parser.parse_args().stack
    print(json.dumps(sbom(stack, pins_of(stack)), indent=1))


if __name__ == "__main__":
    main()
