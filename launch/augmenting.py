"""`launch train --augment_workers=N`: the follower next to a training, which builds its variants.

The follower is `python -m preprocess follow`. Here are its command, and what the training's own
flags must say; launch/supervisor/follower_process.py keeps it running.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from preprocess.shell.errors import UsageError

MOST_WORKERS, MOST_VARIANTS = 1024, 1000  # that `preprocess follow` takes
KEY, LIVE = "data.variants", "live"


class Following(NamedTuple):
    """What is asked of a follower, as the flags --augment_NAME have it.

    Attributes:
      workers: processes; 0 = there is no follower.
      recipe: of the variants; "" = the dataset's.
      ahead: variants built ahead; 0 = as many as `preprocess follow` builds by itself.
      keep: variants kept; 0 = the same.
    """

    workers: int
    recipe: str
    ahead: int
    keep: int

    @property
    def flags(self) -> tuple[str, ...]:
        """Those of `preprocess follow`."""
        given = {"workers": self.workers, "ahead": self.ahead, "keep": self.keep}
        named = [f"--{name}={value}" for name, value in given.items() if value]
        return (*named, *((f"--recipe={self.recipe}",) if self.recipe else ()))


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


def check(verb: str, asked: Following, arguments: Sequence[str]) -> None:
    """Raises UsageError for what no follower can be started with.

    Args:
      verb: of the run.
      asked: of its follower.
      arguments: the trainer's flags.
    """
    workers = asked.workers
    most = {"workers": MOST_WORKERS, "ahead": MOST_VARIANTS, "keep": MOST_VARIANTS}
    for name, value in asked._asdict().items():
        if name in most and not 0 <= value <= most[name]:
            raise UsageError(f"--augment_{name}={value}: must be from 0 to {most[name]}")
        if value and not workers:
            raise UsageError(f"--augment_{name}={value}: only with --augment_workers=N")
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


def follow_command(data: str, run: str, asked: Following) -> tuple[str, ...]:
    """The command line of the follower."""
    return ("python", "-m", "preprocess", "follow", f"--run={run}", *asked.flags, data)


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
