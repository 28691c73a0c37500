"""Pixels by picture number: read, checked, parsed and decoded without TensorFlow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import variant_of
from preprocess.shell.errors import DataError
from trainer.data.decoded_rows import DecodedRows
from trainer.data.picture_record import BadRecordError, features_of, picture_of
from trainer.data.pixel_decoding import PixelDecoder
from trainer.data.record_targets import RecordTargets
from trainer.data.records import StoredPictures

Ints = NDArray[np.int64]
_ALIGNMENT = 64  # bytes; TensorFlow uses arrays with this alignment without copying them


class PictureStore:
    """The pictures of a split."""

    def __init__(
        self,
        stored: StoredPictures,
        decoder: PixelDecoder,
        targets: RecordTargets,
        variants: int,
        cache_bytes: int,
    ) -> None:
        """Args:
        stored: their records.
        decoder: turns them into pixels.
        targets: what else is read of them.
        variants: number in use.
        cache_bytes: memory for decoded pictures.
        """
        self._stored, self._decoder, self._targets = stored, decoder, targets
        self._variants = variants
        self._kept = DecodedRows(stored.pictures, decoder.shape, cache_bytes, targets.dtype)

    def pictures(
        self, pass_number: int, numbers: Ints
    ) -> tuple[NDArray[np.uint8], dict[str, np.ndarray]]:
        """(uint8[n,H,W,C], the targets by name) of pictures int64[n] in stored order, each in the
        variant that the pass uses.

        Raises:
          DataError: a record is damaged; the message has its file and offset.
        """
        shards, records = self._stored.places(numbers)
        variants = np.array([variant_of(pass_number, s, self._variants) for s in shards.tolist()])
        image = aligned((len(numbers), *self._decoder.shape))
        target = np.empty(len(numbers), self._targets.dtype)
        missing = self._kept.take(numbers, variants, image, target)
        for row in missing.tolist():
            target[row] = self._decode(
                int(variants[row]), int(shards[row]), int(records[row]), image[row]
            )
        if self._kept.capacity:
            self._kept.put(numbers[missing], variants[missing], image[missing], target[missing])
        names = target.dtype.names or ()
        return image, {name: np.ascontiguousarray(target[name]) for name in names}

    def _decode(
        self, variant: int, shard: int, record: int, out: NDArray[np.uint8]
    ) -> tuple[object, ...]:
        """Decodes into uint8[H,W,C]; returns the targets."""
        payload = self._stored.payload(variant, shard, record)
        try:
            features = features_of(payload)
            self._decoder.decode(picture_of(features), out)
            return self._targets.row(features)
        except BadRecordError as error:
            path, index = self._stored.location(variant, shard)
            raise DataError(
                f"'{path}' has a bad record at byte {index[record, 1]}: {error}; "
                "run `python -m preprocess verify --deep`"
            ) from None


def aligned(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An uninitialised uint8 array of a shape."""
    size = int(np.prod(shape))
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].reshape(shape)
