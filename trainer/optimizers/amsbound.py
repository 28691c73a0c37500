"""AdaBound whose v never decreases, as in AMSGrad."""

from typing import Any

from trainer.compat.saving import registered
from trainer.optimizers.adabound import AdaBound


@registered
class AMSBound(AdaBound):
    """AdaBound with `amsbound` enabled."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"amsbound": True, "name": "AMSBound", **kwargs})
