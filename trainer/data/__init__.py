"""Dataset directory -> batches: order, records, decoding, tables, the tf.data ring.

    from trainer.data import open_dataset  # for your own training loop; imports no TensorFlow

Imports the dataset format and monitoring's clocks; knows neither models nor workers.
Start reading at reader.py, then order.py; for open_dataset at loader.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.data.loader import open_dataset as open_dataset


def __getattr__(name: str) -> Any:
    """`open_dataset`, imported on first use: the rest of the package does not need it."""
    if name != "open_dataset":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trainer.data.loader import open_dataset

    return open_dataset
