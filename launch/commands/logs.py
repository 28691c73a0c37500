r"""Prints the logs of a run's ranks.

    python -m launch logs RUN [--rank=0,2] [--grep=REGEX] [--follow] [--previous]

Each line is prefixed with its rank. --previous shows the attempt before the current one: what a
worker logged before its restart.
"""

from __future__ import annotations

import re

from absl import flags

import launch.commands.one_run
from launch.backends.base import backend_of
from launch.commands.one_run import one_run
from preprocess.shell.errors import UsageError

flags.adopt_module_key_flags(launch.commands.one_run)
_RANK = flags.DEFINE_list("rank", [], "Ranks; by default all.")
_GREP = flags.DEFINE_string("grep", "", "Only lines that match a regular expression.")
_FOLLOW = flags.DEFINE_bool("follow", False, "Keep printing until the run is over.", short_name="f")
_PREVIOUS = flags.DEFINE_bool("previous", False, "Of the attempt before the current one.")


def main(arguments: list[str]) -> None:
    """Prints the logs."""
    record = one_run("logs", arguments)
    from launch.watch import prefixed

    try:
        ranks = {int(rank) for rank in _RANK.value} or None
    except ValueError:
        raise UsageError(f"--rank={','.join(_RANK.value)}: must be numbers, such as 0,2") from None
    try:
        wanted = re.compile(_GREP.value)
    except re.error as error:
        raise UsageError(f"--grep={_GREP.value}: {error}") from None
    lines = backend_of(record.spec).logs(record, ranks, _FOLLOW.value, _PREVIOUS.value)
    for line in lines:
        if wanted.search(line.text):
            print(prefixed(line, record.spec.workers), flush=_FOLLOW.value)
