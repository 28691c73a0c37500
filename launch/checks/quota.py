"""Whether a namespace's quotas could ever admit all workers of a run at once.

Ever, as for nodes: what is in use now will be released, and is only mentioned.
"""

from __future__ import annotations

from typing import Any

from launch.checks.result import Result, fail, ok, warning
from launch.checks.room import lasting_containers, request_less
from launch.quantity import amount, written

NAME = "quota"
Object = dict[str, Any]


def quota(pod: Object, workers: int, quotas: list[Object]) -> Result:
    """Whether `workers` pods of a template fit.

    Args:
      pod: the PodSpec of one worker.
      workers: how many must run at the same time.
      quotas: the namespace's ResourceQuotas; those for only some pods are ignored.
    """
    asked = {name: amount(value) * workers for name, value in counted(pod).items()}
    tight = ""
    for found in quotas:
        spec, status = found.get("spec") or {}, found.get("status") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue
        for name, value in (spec.get("hard") or {}).items():
            wanted, hard = asked.get(name, 0.0), amount(value)
            if wanted > hard:
                text = (
                    f"'{found['metadata']['name']}' allows {name} {value}, {workers} workers need"
                )
                return fail(NAME, f"{text} {written(wanted)}",
                            f"{request_less(pod)}, or a larger quota")  # fmt: skip
            used = (status.get("used") or {}).get(name, 0)
            if wanted + amount(used) > hard:
                tight = f"of {name} {value} in '{found['metadata']['name']}' {used} are in use"
    if tight:
        return warning(NAME, f"{tight}: not all workers can start now", "wait, or request less")
    return ok(NAME, f"{len(quotas)} quotas leave room" if quotas else "no quota")


def counted(pod: Object) -> dict[str, float]:
    """What one pod uses of a quota, by the quota's names."""
    found: dict[str, float] = {"pods": 1, "count/pods": 1}
    for container in lasting_containers(pod):
        for kind, values in (container.get("resources") or {}).items():
            for name, value in values.items():
                for key in _keys(kind, name):
                    found[key] = found.get(key, 0.0) + amount(value)
    return found


def _keys(kind: str, name: str) -> tuple[str, ...]:
    """A request is also counted under its short name."""
    return (f"{kind}.{name}", name) if kind == "requests" else (f"{kind}.{name}",)
