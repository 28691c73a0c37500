r"""Starts a run again under another name, from its record.

    python -m launch replay RUN --name=NEW [--yes] [--dry_run] [--wait] [--follow]

The same specification, image, flags and own code (as it was submitted), with its own run directory:
RUN's --workdir with the suffix -NEW. Warns if this code is not the recorded commit. For a run
directory that you did not start, it shows what its record would start, and starts it with --yes.
"""

from __future__ import annotations

from absl import flags

import launch.commands.one_run
import launch.start
from launch.commands.one_run import one_run
from launch.start import start
from preprocess.shell.cli import say

_NAME = flags.DEFINE_string("name", None, "Name of the new run.", required=True)
flags.adopt_module_key_flags(launch.start)
flags.adopt_module_key_flags(launch.commands.one_run)


def main(arguments: list[str]) -> None:
    """Starts the run again."""
    record = one_run("replay", arguments)
    from launch.runs.again import replayed
    from launch.submit import new_record

    if record.spec.kind.in_cluster and record.spec.own_files:
        from launch.backends.cluster_records import with_own_texts

        record = with_own_texts(record)
    spec = replayed(record.spec, _NAME.value)
    now = new_record(spec)[0]
    if now.commit != record.commit:
        say(f"warning: this code is {now.commit or 'no commit'}, but the run used {record.commit}")
    start(spec)
