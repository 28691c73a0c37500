"""`launch train --augment_workers=N`: the follower next to a training, which builds its variants.

The follower is `python -m preprocess follow`. Here are its command, and what the training's own
flags must say; launch/supervisor/follower_process.py keeps it running.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from preprocess.shell.errors import UsageError

MOST_WORKERS = 1024  # that `preprocess follow` takes
KEY, LIVE = "data.variants", "live"


def with_live_variants(arguments: Sequence[str]) -> tuple[str, ...]:
    """The trainer's flags with data.variants=live; raises UsageError where they set another."""
    given = list(_given(arguments))
    for value in given:
        if value != LIVE:
            raise UsageError(
                f"--config.{KEY}={value} does not go with --augment_workers, whose variants are "
                f"read with {KEY}={LIVE} only: leave one of the two out"
            )
    return tuple(arguments) if given else (*arguments, f"--config.{KEY}={LIVE}")


def check(verb: str, recipe: str, workers: int, arguments: Sequence[str]) -> None:
    """Raises UsageError for what no follower can be started with.

    Args:
      verb: of the run.
      recipe: the value of --augment_recipe.
      workers: the value of --augment_workers.
      arguments: the trainer's flags.
    """
    if not 0 <= workers <= MOST_WORKERS:
        raise UsageError(f"--augment_workers={workers}: must be from 0 to {MOST_WORKERS}")
    if recipe and not workers:
        raise UsageError(f"--augment_recipe={recipe}: only with --augment_workers=N")
    if not workers:
        return
    if verb != "train":
        raise UsageError(f"--augment_workers={workers}: only a training has them, not {verb}")
    for name, meaning in (("data", "DATASET"), ("workdir", "RUN")):
        # The trainer takes the last of several, and other spellings, too; the follower takes this.
        written = [argument for argument in arguments if argument.startswith(f"--{name}=")]
        values = list(_values(arguments, name))
        if len(values) != 1 or not written or not values[0] or values[0].startswith("-"):
            raise UsageError(
                f"--augment_workers={workers} needs --data=DATASET and --workdir=RUN after ' -- ', "
                f"each once and written so; --{name}={meaning} is not"
            )


def follow_command(data: str, run: str, workers: int, recipe: str) -> tuple[str, ...]:
    """The command line of the follower."""
    return (
        *("python", "-m", "preprocess", "follow", f"--run={run}", f"--workers={workers}"),
        *((f"--recipe={recipe}",) if recipe else ()),
        data,
    )


def _given(arguments: Sequence[str]) -> Iterator[str]:
    """The values that the trainer's flags set the key to."""
    for value in _values(arguments, f"config.{KEY}"):
        yield value.strip()
    for pair in _values(arguments, "override"):
        key, _, value = pair.partition("=")
        if key.strip() == KEY:
            yield value.strip()


def _values(arguments: Sequence[str], name: str) -> Iterator[str]:
    """The values of a flag in all spellings: --NAME=VALUE, --NAME VALUE, and with one dash."""
    for argument, after in pairwise([*arguments, ""]):
        flag, equals, value = argument.partition("=")
        if flag in (f"-{name}", f"--{name}"):
            yield value if equals else after
