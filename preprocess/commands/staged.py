"""What `fetch` and `push` share: their flags, and what they print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from absl import flags

from preprocess.shell.cli import print_json
from preprocess.shell.errors import UsageError
from preprocess.storage import is_remote

_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a different dataset at the target.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def wants_json() -> bool:
    """Whether one JSON object is asked for."""
    return bool(_JSON.value)


def run(copy: Callable[[str, str, bool], dict[str, Any]], arguments: list[str], to: str) -> None:
    """Copies the dataset named first to the place named second; `to` = "local" or "remote".

    Raises UsageError if the arguments are not one place of each kind, in this order.
    """
    if [is_remote(argument) for argument in arguments] != [to == "local", to == "remote"]:
        wanted = "gs://BUCKET/DATASET DIR" if to == "local" else "DIR gs://BUCKET/DATASET"
        raise UsageError(f"{wanted} expected, got {' '.join(arguments) or 'none'}")
    source, target = arguments
    done = copy(source, target, _OVERWRITE.value)
    if _JSON.value:
        print_json(done)
        return
    print(
        f"{done['files']} files, {done['bytes'] / 1e6:.1f} MB; {done['bytes_copied'] / 1e6:.1f} MB "
        f"copied in {done['seconds']:.1f} s\ndigest {done['digest']}\n{target}"
    )
