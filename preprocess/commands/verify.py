"""Checks every byte of a dataset directory against its manifest.

    python -m preprocess verify DATASET [--deep]

Fast: files, sizes, sha256. --deep also reads every record: checksums, pictures decoded,
indexes, keys, labels, triplets. Exit code 0 = no problems, 65 = problems, one per line.
"""

from __future__ import annotations

import contextlib
import sys

from absl import flags

from preprocess.dataset_format import DatasetError
from preprocess.shell.cli import one_argument, print_json, say
from preprocess.shell.errors import UserError
from preprocess.shell.exit_codes import ExitCode
from preprocess.shell.progress import progress

_DEEP = flags.DEFINE_bool("deep", False, "Read, parse and decode every record.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Verifies the one dataset directory named."""
    import dataclasses

    from preprocess.examine.verify import verify
    from preprocess.shards.reading import find_manifest

    dataset = one_argument(arguments, "DATASET")
    total = None
    with contextlib.suppress(DatasetError, UserError):  # verify() reports it as a problem
        manifest = find_manifest(dataset)
        total = sum(len(split.shards) for split in manifest.splits.values()) if manifest else None
    with progress(total, " shards", "verifying") as bar:
        problems = verify(dataset, _DEEP.value, lambda: bar.update(1))
    if _JSON.value:
        print_json({"ok": not problems, "problems": [dataclasses.asdict(p) for p in problems]})
    else:
        for problem in problems:
            print(f"{problem.file}: {problem.problem}")
        print(f"{len(problems)} problems" if problems else "ok")
    if any(problem.file.endswith(".tfrecord") for problem in problems):
        say("to repair it: delete the shards named above and run the same `preprocess build` again")
    sys.exit(ExitCode.DATA if problems else ExitCode.DONE)
