"""A rule, what it finds, and the objects it looks at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from launch.render.text import title

WORKLOADS = ("Deployment", "DaemonSet", "ReplicaSet", "Job")

Object = dict[str, Any]
Found = Iterator[tuple["Pod | Object", str]]


@dataclasses.dataclass(frozen=True)
class Pod:
    """A pod template and the object that holds it."""

    owner: Object
    kind: str  # of the object that runs it: a JobSet's pods belong to a Job
    labels: dict[str, str]
    spec: Object
    job: Object | None = None  # the Job's spec, where it is one

    def containers(self) -> list[Object]:
        """All of them, init containers too."""
        return [*self.spec.get("initContainers", ()), *self.spec.get("containers", ())]


@dataclasses.dataclass(frozen=True)
class Bundle:
    """Objects that are applied together."""

    objects: tuple[Object, ...]

    def of_kind(self, *kinds: str) -> list[Object]:
        """Objects of some kinds, in order."""
        return [o for o in self.objects if o.get("kind") in kinds]

    def pods(self) -> list[Pod]:
        """Every pod template, whatever holds it."""
        return [pod for o in self.objects for pod in _pods(o)]


@dataclasses.dataclass(frozen=True)
class Finding:
    """A rule that an object breaks."""

    rule: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: {self.message}"


@dataclasses.dataclass(frozen=True)
class Rule:
    """A named check; `look` yields what breaks it, with the reason."""

    name: str
    look: Callable[[Bundle], Found]

    def check(self, bundle: Bundle) -> Iterator[Finding]:
        """What breaks it."""
        for where, message in self.look(bundle):
            owner = where.owner if isinstance(where, Pod) else where
            yield Finding(self.name, title(owner), message)


def check(rules: Iterable[Rule], objects: Sequence[Object]) -> list[Finding]:
    """What some rules find in objects that are applied together."""
    bundle = Bundle(tuple(objects))
    return [finding for rule in rules for finding in rule.check(bundle)]


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether labels are all that a selector asks for; an empty one matches nothing here."""
    return bool(selector) and selector.items() <= labels.items()


def _pods(o: Object) -> Iterator[Pod]:
    kind, spec = o.get("kind"), o.get("spec") or {}
    if kind == "Pod":
        yield Pod(o, "Pod", o.get("metadata", {}).get("labels") or {}, spec)
    elif kind == "CronJob":
        job = spec.get("jobTemplate", {}).get("spec", {})
        yield _templated(o, "Job", job, job)
    elif kind in WORKLOADS:
        yield _templated(o, kind, spec, spec if kind == "Job" else None)
    elif kind == "JobSet":
        for child in spec.get("replicatedJobs", ()):
            job = child.get("template", {}).get("spec", {})
            yield _templated(o, "Job", job, job)
    elif kind == "FlinkDeployment":
        for part in (spec.get("jobManager"), spec.get("taskManager"), spec):
            template = (part or {}).get("podTemplate")
            if template:
                labels = template.get("metadata", {}).get("labels") or {}
                yield Pod(o, "Deployment", labels, template.get("spec", {}))


def _templated(o: Object, kind: str, holder: Object, job: Object | None) -> Pod:
    template = holder.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    return Pod(o, kind, labels, template.get("spec") or {}, job)


def read_objects(path: Path) -> list[Object]:
    """Every object of a YAML file, or of a folder's."""
    files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    found = [o for file in files for o in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
    assert found
    return found
