r"""Starts a run again under another name, from its record.

    python -m launch replay RUN --name=NEW [--dry_run] [--wait] [--follow]

The same specification, image and flags, with a run directory of its own: RUN's --workdir with
-NEW after it. Warns where this code is not the commit that was recorded.
"""

from __future__ import annotations

from absl import flags

import launch.start
from launch.commands.one_run import one_run
from launch.start import start
from trainer.cli import say

_NAME = flags.DEFINE_string("name", None, "Of the new run.", required=True)
flags.adopt_module_key_flags(launch.start)


def main(arguments: list[str]) -> None:
    """Starts it again."""
    record = one_run("replay", arguments)
    from launch.again import replayed
    from launch.submit import new_record

    spec = replayed(record.spec, _NAME.value)
    now = new_record(spec)[0]
    if now.commit != record.commit:
        say(f"warning: this code is {now.commit or 'no commit'}, the run was {record.commit}")
    start(spec)
