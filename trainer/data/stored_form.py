"""How a dataset stores its pictures, and the single shape that batches have."""

from __future__ import annotations

import dataclasses

from preprocess.dataset_format import ImageFormat


@dataclasses.dataclass(frozen=True)
class StoredForm:
    """The pictures that a decoder handles.

    Attributes:
      image: how the dataset stores its pictures.
      channels: of the pixels, 1 or 3.
      side: to which pictures are stretched if they have several sizes; 0 = they have one.
    """

    image: ImageFormat
    channels: int
    side: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        if self.side:
            return self.side, self.side, self.channels
        assert self.image.height is not None
        assert self.image.width is not None
        return self.image.height, self.image.width, self.channels
