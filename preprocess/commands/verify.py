"""Says whether every byte of a dataset directory is what its manifest says.

    python -m preprocess verify DATASET [--deep]

Fast: files, sizes, sha256. --deep also reads every record: checksums, pictures decoded,
indexes, keys, labels, triplets. Exit code 0 = nothing wrong, 65 = problems, one a line.
"""

from __future__ import annotations

import os
import sys

from absl import flags

from preprocess.cli import one_argument, print_json, say

_DEEP = flags.DEFINE_bool("deep", False, "Read, parse and decode every record.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Verifies the one dataset directory named."""
    import dataclasses

    from tqdm import tqdm

    from preprocess.verify import verify

    dataset = one_argument(arguments, "DATASET")
    with tqdm(unit="shard", disable=None, desc="verify") as bar:
        problems = verify(dataset, _DEEP.value, lambda: bar.update(1))
    if _JSON.value:
        print_json({"ok": not problems, "problems": [dataclasses.asdict(p) for p in problems]})
    else:
        for problem in problems:
            print(f"{problem.file}: {problem.problem}")
        print(f"{len(problems)} problems" if problems else "ok")
    if any(problem.file.endswith(".tfrecord") for problem in problems):
        say("to mend it: delete the shards named above and run the same `preprocess build` again")
    sys.exit(os.EX_DATAERR if problems else 0)
