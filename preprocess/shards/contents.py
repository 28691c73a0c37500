"""The bytes of a shard's pictures: read in order, and known by one hash.

Sizes and modification times tell most changes of an input. Where they do not, the content does: a
copy has other times, and an archive that normalises times has the same one for every file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

from preprocess.pictures.limits import MAX_BYTES
from preprocess.shards.shard_plan import PictureEntry, ShardPlan
from preprocess.sources import item_readers


def read_files(entries: Sequence[PictureEntry]) -> Iterator[bytes | OSError]:
    """The file's bytes of each of a plan's lines, or why there are none.

    A picture inside an idx file has no bytes of its own.
    """
    files = (entry.path for entry in entries if entry.item is None)
    contents = item_readers.read_many(files, MAX_BYTES + 1)  # decode() refuses what is longer
    for entry in entries:
        yield next(contents) if entry.item is None else b""


class ContentHash:
    """Hash of the pictures of a shard in their order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._known = True

    def add(self, entry: PictureEntry, content: bytes | OSError) -> None:
        """Adds a picture, whether or not it is one in the end."""
        self._known = self._known and entry.item is None
        digest = b"" if isinstance(content, OSError) else hashlib.sha256(content).digest()
        self._hash.update(digest or bytes(32))

    @property
    def hexdigest(self) -> str:
        """In hexadecimal; "" where pictures have no bytes of their own."""
        return self._hash.hexdigest() if self._known else ""


def content_of(plan: ShardPlan) -> str:
    """ContentHash of a picture shard's plan, by reading every picture."""
    entries = [PictureEntry(**json.loads(line)) for line in plan.lines]
    content = ContentHash()
    for entry, data in zip(entries, read_files(entries), strict=True):
        content.add(entry, data)
    return content.hexdigest
