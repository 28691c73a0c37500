"""Prints how two dataset directories differ: inputs, recipe, counts, digests, classes.

    python -m preprocess diff DATASET DATASET

Exit code 0 whether or not they differ; equal digests mean equal bytes in every shard.
"""

from __future__ import annotations

from absl import flags

from preprocess.shell.cli import print_json
from preprocess.shell.errors import UsageError

_JSON = flags.DEFINE_bool("json", False, "Print one JSON object: name -> [first, second].")


def main(arguments: list[str]) -> None:
    """Compares the two dataset directories named."""
    from preprocess.examine.dataset_diff import diff

    if len(arguments) != 2:
        raise UsageError(f"DATASET DATASET expected, got {' '.join(arguments) or 'none'}")
    found = diff(arguments[0], arguments[1])
    if _JSON.value:
        print_json({"same": "digest" not in found, "differences": found})
        return
    recipe = found.pop("recipe", [])
    for name, (first, second) in found.items():
        print(f"{name:<28} {_short(first)}  ->  {_short(second)}")
    for line in recipe:
        print(line)
    if not found and not recipe:
        print("the same")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
