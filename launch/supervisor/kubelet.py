"""Runs a rendered pod as a process of this machine, with what the kubelet would set up.

Variables are expanded as Kubernetes does it; host names of the run become ports of localhost, and
the scratch volume and that of the user's own code become folders.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from pathlib import Path
from typing import Any

from launch.own_files import MOUNT
from launch.render.pod import CONTAINER, INDEX_ANNOTATION, SCRATCH

_OWN = re.compile(rf"(?<![^=,\s'\"(\[]){MOUNT}/")  # where a reference may begin in a flag


@dataclasses.dataclass(frozen=True)
class Process:
    """What to start for one pod."""

    command: list[str]
    environment: dict[str, str]


def process(
    pod: dict[str, Any], index: int, hosts: dict[str, str], scratch: Path, own: Path | None = None
) -> Process:
    """The worker of a pod template.

    Args:
      pod: the PodSpec.
      index: the pod's completion index.
      hosts: HOST:PORT as rendered -> HOST:PORT here.
      scratch: the folder used as the scratch volume.
      own: the folder used as the volume of own code.
    """
    container = next(c for c in pod["containers"] if c["name"] == CONTAINER)
    variables: dict[str, str] = {}
    for entry in container.get("env", ()):
        variables[entry["name"]] = _value(entry, index, variables)
    words = [*container.get("command", ()), *container.get("args", ())]
    words = [expand(word, variables) for word in words]
    if own:
        words = [_OWN.sub(lambda _: f"{own}/", word) for word in words]
    if words[0] == "python":
        words[0] = sys.executable
    here = {name: _here(value, hosts, scratch) for name, value in variables.items()}
    return Process(words, {**_kept(), **here})


def unpack_own_code(pod: dict[str, Any], objects: list[dict[str, Any]], folder: Path) -> None:
    """Writes the files of the pod's ConfigMap, one of the objects, into a folder."""
    files = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    for volume in pod["volumes"]:
        for item in volume.get("configMap", {}).get("items", ()):
            path = folder / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[volume["configMap"]["name"]][item["key"]].encode())


def expand(text: str, variables: dict[str, str]) -> str:
    """Replaces `$(NAME)` by its value if it has one, `$$` by a dollar (Kubernetes' own rule)."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)", one, text)


def _value(entry: dict[str, Any], index: int, before: dict[str, str]) -> str:
    if "value" in entry:
        return expand(str(entry["value"]), before)
    source = entry.get("valueFrom") or {}
    if INDEX_ANNOTATION in (source.get("fieldRef") or {}).get("fieldPath", ""):
        return str(index)
    # A secret's value is unknown here, but its name may be set in this environment.
    return os.environ.get(entry["name"], "")


def _here(value: str, hosts: dict[str, str], scratch: Path) -> str:
    for there, here in hosts.items():
        value = value.replace(f'"{there}"', f'"{here}"')
    if value == SCRATCH or value.startswith(f"{SCRATCH}/"):
        return str(scratch) + value[len(SCRATCH) :]
    return value


def _kept() -> dict[str, str]:
    """What an image would set: where programs and this package are found."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}
