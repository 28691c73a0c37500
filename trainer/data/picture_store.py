"""Pixels by picture number: read, checked, parsed and decoded without TensorFlow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import variant_of
from preprocess.shell.errors import DataError
from trainer.data.decoded_rows import DecodedRows
from trainer.data.picture_record import BadRecordError, parse_picture
from trainer.data.pixel_decoding import PixelDecoder
from trainer.data.records import StoredPictures

Ints = NDArray[np.int64]
_ALIGNMENT = 64  # bytes; TensorFlow uses arrays with this alignment without copying them


class PictureStore:
    """The pictures of a split."""

    def __init__(
        self, stored: StoredPictures, decoder: PixelDecoder, kept: DecodedRows, variants: int
    ) -> None:
        """Args:
        stored: their records.
        decoder: turns them into pixels.
        kept: the cache of decoded pictures.
        variants: number in use.
        """
        self._stored, self._decoder, self._kept, self._variants = stored, decoder, kept, variants

    def pictures(self, pass_number: int, numbers: Ints) -> tuple[NDArray[np.uint8], Ints]:
        """(uint8[n,H,W,C], int64[n] labels) of pictures int64[n] in stored order, each in the
        variant that the pass uses.

        Raises:
          DataError: a record is damaged; the message has its file and offset.
        """
        shards, records = self._stored.places(numbers)
        variants = np.array([variant_of(pass_number, s, self._variants) for s in shards.tolist()])
        image = aligned((len(numbers), *self._decoder.shape))
        label = np.empty(len(numbers), np.int64)
        missing = self._kept.take(numbers, variants, image, label)
        for row in missing.tolist():
            label[row] = self._decode(
                int(variants[row]), int(shards[row]), int(records[row]), image[row]
            )
        if self._kept.capacity:
            self._kept.put(numbers[missing], variants[missing], image[missing], label[missing])
        return image, label

    def _decode(self, variant: int, shard: int, record: int, out: NDArray[np.uint8]) -> int:
        """Decodes into uint8[H,W,C]; returns the label."""
        payload = self._stored.payload(variant, shard, record)
        try:
            picture = parse_picture(payload)
            self._decoder.decode(picture, out)
        except BadRecordError as error:
            path, index = self._stored.location(variant, shard)
            raise DataError(
                f"'{path}' has a bad record at byte {index[record, 1]}: {error}; "
                "run `python -m preprocess verify --deep`"
            ) from None
        return picture.label


def aligned(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An uninitialised uint8 array of a shape."""
    size = int(np.prod(shape))
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].reshape(shape)
