"""Where a picture's bytes are: in their own file, or inside a container.

The path of a picture is either that of a file, or the text of a `Place`: `KIND:BYTES:DETAIL:PATH`,
such as `span:2048:512:/data/pictures.tar`. File paths are absolute or begin with gs://, so that the
two cannot be confused.
"""

from __future__ import annotations

from typing import NamedTuple

from preprocess import storage


class Place(NamedTuple):
    """An item of a container file."""

    kind: str  # which reader extracts it, see item_readers.py
    size: int  # bytes of the item, 0 if unknown before it is read
    detail: str  # what the reader needs to know, without ":"
    path: str  # of the container

    @property
    def text(self) -> str:
        """The value of a Picture's path."""
        return f"{self.kind}:{self.size}:{self.detail}:{self.path}"


def parse(path: str) -> Place | None:
    """The place in a picture's path; None for an ordinary file or another text."""
    if not path or path.startswith("/") or storage.is_remote(path):
        return None
    kind, size, detail, container = path.split(":", 3)
    return Place(kind, int(size), detail, container)


class ItemStat:
    """Size and version of an item: the version is that of its container, looked up once."""

    def __init__(self) -> None:
        self._containers: dict[str, storage.Info] = {}

    def __call__(self, path: str) -> storage.Info:
        """Of a picture's path; raises OSError if the container is gone."""
        place = parse(path)
        if place is None:
            return storage.stat(path)
        if place.path not in self._containers:  # the container may itself be in an archive
            self._containers[place.path] = self(place.path)
        return storage.Info(place.size, self._containers[place.path].version)
