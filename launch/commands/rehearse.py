r"""Runs a rendered run as local processes and shows what the cluster would do when one fails.

    python -m launch rehearse train --backend=job --workers=2 --image=REF@sha256:... \
        --kill=1@step5 -- --config=... --data=DATASET --workdir=RUN

The processes get the environment of the manifest, and its failure policy is applied. --kill ends a
rank once the run has reached a step, with SIGKILL, or with SIGTERM for `1@step5:TERM`; it may be
repeated. Own code, FILE.py:NAME, is used as pods get it: with the files that would be sent along.
Exits with 0 if the run succeeded in the end, otherwise with 1.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

from absl import flags

import launch.flags
from launch.backends.kinds.registry import KINDS
from launch.flags import spec_from_flags
from launch.own_files import with_own_files
from preprocess.shell.cli import print_json, say
from preprocess.shell.errors import UsageError
from preprocess.shell.path_flags import define_path

flags.adopt_module_key_flags(launch.flags)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")
_KILL = flags.DEFINE_multi_string("kill", [], "RANK@stepSTEP[:KILL|TERM]; may be repeated.")
_LOGS = define_path("logs", "", "Folder for the pods' logs; by default a new one.")


def main(arguments: list[str]) -> None:
    """Rehearses and prints what happened."""
    if arguments[:1] != ["train"]:
        raise UsageError("launch rehearse train ...: only training runs can be rehearsed")
    from launch.supervisor.rehearse import Stage, parse_kill

    spec = with_own_files(spec_from_flags("train", arguments[1:]))
    if not spec.kind.rehearsed:
        able = " or ".join(name for name, kind in KINDS.items() if kind.rehearsed)
        raise UsageError(f"--backend={spec.backend} cannot be rehearsed; use {able}")
    if spec.follower:
        raise UsageError(
            "--augment_workers cannot be rehearsed: leave it out, and rehearse the variants that "
            "the dataset has"
        )
    workdir = spec.flag("workdir")
    if not workdir or "://" in workdir:
        raise UsageError("a rehearsal needs a local --workdir=RUN among the trainer's flags")
    kills = [parse_kill(text) for text in _KILL.value]
    for kill in kills:
        if kill.rank >= spec.workers:
            raise UsageError(f"--kill: there is no rank {kill.rank} of {spec.workers}")
    folder = Path(_LOGS.value or tempfile.mkdtemp(prefix="rehearsal-"))
    folder.mkdir(parents=True, exist_ok=True)
    result = Stage(spec, folder, Path(workdir), say).run(kills)
    if _JSON.value:
        print_json({**dataclasses.asdict(result), "logs": str(folder)})
    else:
        how = "succeeded" if result.succeeded else "failed"
        print(f"{how}; {result.counted} failures counted, {result.not_counted} not; logs: {folder}")
    sys.exit(0 if result.succeeded else 1)
