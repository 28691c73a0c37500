"""The follower next to a training (`--augment_workers=N`): how it is started."""

from __future__ import annotations

from collections.abc import Sequence

from launch.spec import Spec
from preprocess.shell.kept_follower import HOW_TO_FOLLOW

FOLLOWED_RANK = 0  # the worker that has it next to it


def keeper(spec: Spec, python: str, place: Sequence[str]) -> list[str]:
    """The command line that keeps the follower of a run running; [] if it has none.

    Args:
      spec: of the run.
      python: the interpreter of both.
      place: flags of launch/supervisor/follower_process.py.
    """
    if not spec.follower:
        return []
    module = "launch.supervisor.follower_process"
    return [python, "-m", module, *place, "--", python, *spec.follower[1:]]


def advice(spec: Spec) -> dict[str, str]:
    """Variables of the workers: what they advise while the follower is not at work."""
    if not spec.follower:
        return {}
    return {HOW_TO_FOLLOW: f"`launch logs {spec.name} --rank=follower` shows why"}
