"""What an earlier follower has left in DATASET/live: taken over, removed or refused."""

from __future__ import annotations

import os

from preprocess.follow.live_store import LiveStore
from preprocess.live_format import FOLLOWER_FILE, LIVE_FOLDER, FollowerState
from preprocess.shell.cli import say
from preprocess.shell.errors import ConfigError


def check_earlier(store: LiveStore, now: FollowerState) -> FollowerState | None:
    """What the follower before this one said of itself; None if this one starts empty.

    Variants of another dataset are removed, and only where all say that they are.

    Raises:
      ConfigError: two recipes, seeds or libraries would mix, or it is not known by which the
        variants were made.
    """
    store.refuse_links()
    if store.is_empty():
        return None
    before, bases = store.state(), store.bases()
    folder = os.path.join(store.dataset, LIVE_FOLDER)
    bases |= {before.base} if before else set()
    if bases and not bases & {now.base, ""}:
        store.clear()
        say(f"removed '{folder}': its variants were of another dataset")
        return None
    if before is None or before.base != now.base:
        raise ConfigError(
            f"'{os.path.join(store.dataset, FOLLOWER_FILE)}' does not say how the variants next to "
            f"it were made: bring it back, or remove '{folder}' and train in a new --run"
        )
    differences = [
        f"{name} {_short(getattr(before, name))} -> {_short(getattr(now, name))}"
        for name in ("recipe", "seed", "libraries")
        if getattr(before, name) != getattr(now, name)
    ]
    if differences:
        raise ConfigError(
            f"'{folder}' has variants by other means ({'; '.join(differences)}), and a run may "
            f"have used them: bring those back, or remove '{folder}' and train in a new --run"
        )
    return before


def _short(value: object) -> str:
    return str(value)[:40]
