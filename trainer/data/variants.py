"""Which stored variant a shard is read from in a pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

from preprocess.dataset_format import Shard, variant_of


class VariantShards(Protocol):
    """The image shards of each variant."""

    def __getitem__(self, variant: int, /) -> Sequence[Shard]:
        """Those of one, in the order of variant 0's."""

    def __iter__(self) -> Iterator[Sequence[Shard]]:
        """Those of each stored variant, and of the live ones that are known."""

    def __len__(self) -> int:
        """The number of stored variants."""


class Variants(Protocol):
    """The choice of a variant."""

    def of(self, pass_number: int, shard: int) -> int:
        """The variant of a shard in a pass; may wait until there is one."""

    def known(self, pass_number: int) -> bool:
        """Whether of() would not wait."""


@dataclasses.dataclass(frozen=True)
class StoredVariants:
    """The first `count` variants of a dataset in turn, another one for each shard."""

    count: int

    def of(self, pass_number: int, shard: int) -> int:
        """The variant of a shard in a pass."""
        return variant_of(pass_number, shard, self.count)

    def known(self, pass_number: int) -> bool:
        """Always."""
        del pass_number
        return True
