"""Folders from plain names with `/`, of objects in a store or members of an archive."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator

from preprocess.sources.leftovers import is_passed_over


class ListedNames:
    """Folder's methods for a listing, answered from sorted names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._sorted = sorted(names)

    def walk(self, below: str) -> Iterator[str]:
        """The name relative to `below` of every file under it, in the order of a disk: a folder's
        files before its subfolders. Skips hidden files and system leftovers.
        """
        names = [name.split("/") for name in self.below(below)]
        names.sort(key=lambda parts: [*((1, part) for part in parts[:-1]), (0, parts[-1])])
        for parts in names:
            if not any(map(is_passed_over, parts)):
                yield "/".join(parts)

    def folders(self, below: str) -> list[str]:
        """Sorted names of the subfolders, without hidden ones and system leftovers."""
        tops = {name.split("/")[0] for name in self.below(below) if "/" in name}
        return sorted(top for top in tops if not is_passed_over(top))

    def files(self, below: str) -> list[str]:
        """Names of the files directly in a folder."""
        return [name for name in self.below(below) if "/" not in name]

    def below(self, folder: str) -> list[str]:
        """Names relative to a folder of everything under it."""
        prefix = f"{folder.strip('/')}/".lstrip("/")
        first = bisect.bisect_left(self._sorted, prefix)
        last = bisect.bisect_left(self._sorted, f"{prefix}\U0010ffff")
        return [name[len(prefix) :] for name in self._sorted[first:last]]
