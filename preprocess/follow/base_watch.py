"""Whether the dataset is still the one that the follower was started for."""

from __future__ import annotations

import os
import time

from preprocess import storage
from preprocess.dataset_format import MANIFEST_FILE
from preprocess.live_format import base_digest
from preprocess.shards.reading import load_manifest
from preprocess.shell.errors import DataError, StorageError

POLL_SECONDS = 1.0
GONE_SECONDS = 60.0  # a dataset whose manifest cannot be read for so long is gone


class BaseWatch:
    """Reads the manifest again only where its file has changed.

    Args:
      dataset: its directory.
      base: its base_digest().
    """

    def __init__(self, dataset: str, base: str) -> None:
        self._dataset, self._base = dataset, base
        self._checked: storage.Info | None = None

    def check(self) -> None:
        """Waits a while where the manifest cannot be read.

        Raises DataError if the dataset was rebuilt, or is gone.
        """
        deadline = time.monotonic() + GONE_SECONDS
        while True:
            try:
                info = storage.stat(os.path.join(self._dataset, MANIFEST_FILE))
                same = info == self._checked or self._base == base_digest(
                    load_manifest(self._dataset)
                )
                break
            except (OSError, StorageError, DataError) as error:
                if time.monotonic() >= deadline:
                    raise DataError(f"'{self._dataset}' is gone: {error}") from None
            time.sleep(POLL_SECONDS)
        if not same:
            raise DataError(
                f"'{self._dataset}' was rebuilt since this follower started: start it again"
            )
        self._checked = info
