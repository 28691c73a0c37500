r"""Prints the logs of a run's ranks.

    python -m launch logs RUN [--rank=0,2] [--grep=REGEX] [--tail=100] [--follow] [--previous]

Each line is prefixed with its rank. --tail=100 begins with the last hundred lines of each rank, of
which --grep chooses. --previous shows the attempt before the current one: what a worker logged
before its restart. --rank=follower is what builds the variants of a run with --augment_workers.
"""

from __future__ import annotations

import re

from absl import flags

import launch.commands.one_run
from launch.backends.base import backend_of
from launch.commands.one_run import one_run
from preprocess.shell.errors import UsageError

flags.adopt_module_key_flags(launch.commands.one_run)
_RANK = flags.DEFINE_list("rank", [], "Ranks, or `follower`; by default all.")
_GREP = flags.DEFINE_string("grep", "", "Only lines that match a regular expression.")
_FOLLOW = flags.DEFINE_bool("follow", False, "Keep printing until the run is over.", short_name="f")
_TAIL = flags.DEFINE_integer(
    "tail", 0, "Of what is already there, only so many lines of each rank; 0 = all.", lower_bound=0
)
_PREVIOUS = flags.DEFINE_bool("previous", False, "Of the attempt before the current one.")


def main(arguments: list[str]) -> None:
    """Prints the logs."""
    record = one_run("logs", arguments)
    from launch.runs.status import FOLLOWER, LogQuery
    from launch.watch import prefixed

    try:
        named = {"follower": FOLLOWER}
        ranks = {named[rank] if rank in named else int(rank) for rank in _RANK.value} or None
    except ValueError:
        raise UsageError(
            f"--rank={','.join(_RANK.value)}: must be numbers, such as 0,2, or 'follower'"
        ) from None
    try:
        wanted = re.compile(_GREP.value)
    except re.error as error:
        raise UsageError(f"--grep={_GREP.value}: {error}") from None
    query = LogQuery(ranks, _FOLLOW.value, _PREVIOUS.value, _TAIL.value)
    lines = backend_of(record.spec).logs(record, query)
    for line in lines:
        if wanted.search(line.text):
            print(prefixed(line, record.spec.workers), flush=_FOLLOW.value)
