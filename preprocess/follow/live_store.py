"""DATASET/live: which variants there are, adding one and removing one.

A variant's shards are built by the workers, each with a commit marker as those of the dataset are;
its manifest is written when all are there, so a reader sees a whole variant or none. A killed
follower finds the shards that were done, and removes the rest.
"""

from __future__ import annotations

import os
import re

from preprocess import dataset_format as df
from preprocess import storage
from preprocess.live_format import (
    FOLLOWER_FILE,
    LIVE_FOLDER,
    LIVE_SPLIT,
    MAX_FOLLOWER_BYTES,
    FollowerState,
    LiveVariant,
    live_manifest_file,
)
from preprocess.shards.live_shard import live_workspace
from preprocess.shell.errors import ConfigError

_MANIFEST = re.compile(r"variant-(\d{5,})\.json")
_FOLDER = re.compile(rf"{LIVE_SPLIT}/variant-(\d+)/")


class LiveStore:
    """The live variants of a dataset.

    Args:
      dataset: its directory.
      stored: variants 0 to stored-1 are in the dataset itself, and no live ones.
    """

    def __init__(self, dataset: str, stored: int) -> None:
        self.dataset, self._stored = dataset, stored
        self._folder = os.path.join(dataset, LIVE_FOLDER)
        self._read: dict[int, tuple[storage.Info, LiveVariant]] = {}

    def state(self) -> FollowerState | None:
        """What the last follower said of itself; None if there is nothing that can be read."""
        try:
            return FollowerState.from_json(_text(self._path(FOLLOWER_FILE), MAX_FOLLOWER_BYTES))
        except (FileNotFoundError, df.DatasetError):
            return None

    def write_state(self, state: FollowerState) -> None:
        """Replaces the follower's file."""
        storage.write_text(self._path(FOLLOWER_FILE), state.to_json())

    def there(self) -> set[int]:
        """The numbers of the variants that are whole: those that have a manifest."""
        return {variant for variant in self._manifests() if self._manifest(variant)}

    def started(self) -> set[int]:
        """The numbers of those of which there are files, but no manifest that can be read."""
        found = {int(m[1]) for m in map(_FOLDER.match, storage.tree(self._folder)) if m}
        found = {variant for variant in found if variant >= self._stored}
        return (found | self._manifests()) - self.there()

    def is_empty(self) -> bool:
        """Whether there is no file at all."""
        return not storage.tree(self._folder)

    def bases(self) -> set[str]:
        """The datasets that the variants are of; "" = a manifest cannot be read."""
        found = (self._manifest(variant) for variant in self._manifests())
        return {manifest.base if manifest else "" for manifest in found}

    def add(self, variant: LiveVariant) -> None:
        """Makes a variant whose files are all written visible."""
        storage.write_text(self._path(live_manifest_file(variant.variant)), variant.to_json())
        storage.sync_folders([self._folder])
        live_workspace(self.dataset).keep_only({})

    def remove(self, variant: int) -> None:
        """Removes a variant, its manifest first: a reader that has seen it has opened its files, or
        finds it gone as a whole.
        """
        if variant < self._stored:
            raise ValueError(f"variant {variant} is in the dataset itself")
        self.refuse_links()
        storage.remove(self._path(live_manifest_file(variant)))
        shard = df.image_shard_file(LIVE_SPLIT, variant, 0, 1)
        self._remove_tree(os.path.join(self._folder, os.path.dirname(shard)))

    def remove_torn(self) -> None:
        """Removes files that a killed worker had not finished."""
        self.refuse_links()
        for file in storage.tree(self._folder):
            if ".tmp-" in file.rpartition("/")[2]:
                storage.remove(os.path.join(self._folder, file))

    def clear(self) -> None:
        """Removes all that was made for another dataset."""
        self.refuse_links()
        self._remove_tree(self._folder)

    def refuse_links(self) -> None:
        """Raises ConfigError if the folder, or one in it, is a link: what is removed or written
        below it would be somewhere else.
        """
        folders = [self._folder]
        for parent, below, _ in os.walk(self._folder):
            folders += [os.path.join(parent, name) for name in below]
        for folder in folders:
            if os.path.islink(folder):
                raise ConfigError(
                    f"'{folder}' is a link, and `preprocess follow` removes files below it: put a "
                    "folder in its place"
                )

    def _remove_tree(self, folder: str) -> None:
        storage.remove_tree(folder)
        # NFS keeps what a reader has open under such a name, until it is closed.
        left = [
            file for file in storage.tree(folder) if not os.path.basename(file).startswith(".nfs")
        ]
        if left:
            raise ConfigError(
                f"'{os.path.join(folder, left[0])}' cannot be removed, and the disk would fill: "
                "give this user the right to, and start the follower again"
            )

    def _manifests(self) -> set[int]:
        """The numbers of the variants that have a manifest, if perhaps not one that can be read."""
        found = (_MANIFEST.fullmatch(name) for name in storage.names(self._folder))
        numbers = {int(m[1]): m[0] for m in found if m}
        return {
            variant
            for variant, name in numbers.items()
            if variant >= self._stored and os.path.basename(live_manifest_file(variant)) == name
        }

    def _manifest(self, variant: int) -> LiveVariant | None:
        """The manifest of a variant, read again only where it has changed; None = no good one."""
        path = self._path(live_manifest_file(variant))
        try:
            info = storage.stat(path)
            known = self._read.get(variant)
            if known is None or known[0] != info:
                text = _text(path, df.MAX_MANIFEST_BYTES)
                known = self._read[variant] = (info, LiveVariant.from_json(text))
            return known[1] if known[1].variant == variant else None
        except (FileNotFoundError, df.DatasetError):
            return None

    def _path(self, file: str) -> str:
        return os.path.join(self.dataset, file)


def _text(path: str, limit: int) -> str:
    """A file of at most `limit` bytes; raises DatasetError for what is longer or no text."""
    data = storage.read_bytes(path, limit + 1)
    if len(data) > limit:
        raise df.DatasetError(f"'{path}' has more than {limit} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise df.DatasetError(f"'{path}' is not UTF-8: {error}") from None
