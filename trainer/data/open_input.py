"""An open input of TensorFlow's, and its end, for which nobody waits.

Whoever drops the last reference to an iterator waits until TensorFlow has closed it. That can take
as long as it was open, a minute at most: tf.data's thread that chooses how much is done at a time
may miss that it is to end, and sleeps on. So the iterator is held here and nowhere else: what holds
this object, as the frames of an error do, does not hold the iterator.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any


class OpenInput:
    """The elements of a dataset, one after another; a context that closes it.

    Attributes:
      iterator: TensorFlow's own, for a call that takes several elements by itself.
    """

    def __init__(self, dataset: Iterable[Any]) -> None:
        self.iterator = iter(dataset)

    def __enter__(self) -> OpenInput:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.iterator)

    def close(self) -> None:
        """Closes it in a thread, which does not keep the process from ending either."""
        held = [self.__dict__.pop("iterator", None)]
        closing = threading.Thread(target=held.clear, name="closing the input", daemon=True)
        with contextlib.suppress(RuntimeError):  # no further thread: it is closed here, then
            closing.start()
