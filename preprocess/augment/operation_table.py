"""Every operation that a recipe can name: the modules of `operations`."""

from __future__ import annotations

from preprocess.augment.names import OPERATION_FILES
from preprocess.augment.operation import Operation


def _operation(name: str) -> type[Operation]:
    """The one operation that a module defines."""
    module = OPERATION_FILES.module(name)
    (operation,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Operation)
        and value.__module__ == module.__name__
    )
    return operation


OPERATIONS = {name: _operation(name) for name in OPERATION_FILES.names()}
