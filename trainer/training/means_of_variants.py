"""By what means a run's live variants were made: RUN/live_variants.json.

A dataset without a recipe of its own takes live variants by any recipe, and no dataset knows the
library versions of its follower. A run that has begun with some must not continue with others.
"""

from __future__ import annotations

import threading
from collections.abc import Set
from pathlib import Path

from preprocess.live_format import FollowerState, LiveVariant
from preprocess.shell.atomic import write_text
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject, json_text
from preprocess.shell.regular_files import read_json
from trainer.data.live import LiveVariants

_ABSENT = "none"


class MeansOfVariants:
    """Recipe, seed and library versions of the first live variant that a run has seen."""

    def __init__(self, file: Path, live: LiveVariants) -> None:
        """Raises DataError if the file is there and cannot be read."""
        self._file, self._live = file, live
        self._lock = threading.Lock()  # the loop and threads that read ahead see variants
        try:
            self._means = read_json(file)
        except FileNotFoundError:
            self._means = {}

    def check_follower(self) -> None:
        """Raises ConfigError if a follower works by other means than the run's."""
        follower = self._live.follower()
        if follower and follower.base == self._live.base:
            self._check(_means(follower, follower))

    def take(self, variant: LiveVariant) -> None:
        """Records the first one; raises ConfigError for one by other means."""
        with self._lock:
            means = _means(variant, self._live.follower())
            self._check(means)
            if means.keys() - self._means.keys():
                self._means |= means
                write_text(self._file, json_text(self._means) + "\n")

    def _check(self, means: JsonObject) -> None:
        common = self._means.keys() & means.keys()  # libraries may be unknown
        before, now = _flat(self._means, common), _flat(means, common)
        changed = [
            f"{name} {before.get(name, _ABSENT)[:12]} -> {now.get(name, _ABSENT)[:12]}"
            for name in sorted(before | now)
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise ConfigError(
                f"'{self._live.folder}' has variants by other means than those that "
                f"'{self._file.parent}' began with ({'; '.join(changed)}): remove that folder and "
                "start `preprocess follow` as it was, or train in a new --workdir"
            )


def _means(made: LiveVariant | FollowerState, follower: FollowerState | None) -> JsonObject:
    means: JsonObject = {"recipe": made.recipe, "seed": made.seed}
    if follower and (follower.base, follower.recipe) == (made.base, made.recipe):
        means["libraries"] = follower.libraries
    return means


def _flat(means: JsonObject, names: Set[str]) -> dict[str, str]:
    """Those of these names as text; of libraries, each by its own name."""
    flat: dict[str, object] = {}
    for name in names:
        value = means[name]
        flat |= value if isinstance(value, dict) else {name: value}
    return {name: str(value) for name, value in flat.items()}
