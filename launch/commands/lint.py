r"""Checks manifests, rendered or written by hand, by this project's rules.

    python -m launch lint k8s
    python -m launch render train --backend=job ... > run.yaml && python -m launch lint run.yaml

Folders are read whole (*.yaml), and all that is given is judged together, as if it were applied
together: a Service must find its pods. Pod Security's `restricted` level is one of the rules.
Ends with 65 where something is found. Schemas are for kubeconform or kubernetes-validate.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import yaml
from absl import flags

from launch.lint.rule import Object, check
from launch.lint.rules import RULES
from trainer.cli import print_json, say
from trainer.errors import DataError, UsageError

_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Reads, checks, lists."""
    if not arguments:
        raise UsageError("launch lint PATH...: a YAML file or a folder of them")
    objects = [o for path in arguments for o in read_objects(path)]
    findings = check(RULES, objects)
    if _JSON.value:
        problems = [dataclasses.asdict(finding) for finding in findings]
        print_json({"ok": not findings, "objects": len(objects), "problems": problems})
    else:
        for finding in findings:
            print(finding)
    if findings:
        raise DataError(f"{len(findings)} findings in {len(objects)} objects")
    say(f"{len(objects)} objects keep all {len(RULES)} rules")


def read_objects(path: str) -> list[Object]:
    """Every object of a file or of a folder's *.yaml; raises UsageError, DataError."""
    root = Path(path)
    if not root.exists():
        raise UsageError(f"'{path}' is not there")
    files = sorted(root.rglob("*.yaml")) if root.is_dir() else [root]
    objects: list[Object] = []
    for file in files:
        try:
            documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            first = str(error).splitlines()[0]
            raise DataError(f"'{file}' is not YAML: {first}") from None
        objects += [document for document in documents if isinstance(document, dict)]
    if not objects:
        raise DataError(f"no Kubernetes object in '{path}'")
    return objects
