"""The names of records, which no batch carries: read when a table of predictions is written."""

from __future__ import annotations

import os
from collections.abc import Iterable

from preprocess.dataset_format import Shard
from preprocess.shell.errors import DataError
from trainer.data.picture_record import BadRecordError, parse_id
from trainer.data.records import ShardRecords


def picture_ids(dataset: str, shards: Iterable[Shard]) -> list[str]:
    """The id of each picture of some shards, in stored order.

    Raises:
      DataError: a shard is damaged.
    """
    found = []
    for shard in shards:
        records = ShardRecords(dataset, shard)
        for record in range(shard.records):
            try:
                found.append(parse_id(records.payload(record)))
            except BadRecordError as error:
                raise DataError(
                    f"'{os.path.join(dataset, shard.file)}' has a bad record: {error}; "
                    "run `python -m preprocess verify --deep`"
                ) from None
    return found
