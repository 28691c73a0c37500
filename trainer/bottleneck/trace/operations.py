"""Which stage of a run an operation of a trace is for, by its name and type."""

from __future__ import annotations

import re

from trainer.monitoring.stages import (
    COLLECTIVE,
    DECODE,
    INPUT_STAGES,
    MODEL,
    PARSE,
    PREPROCESS,
    SCOPES,
    STEP_STAGES,
    UPDATE_SCOPE,
)

# What an event of a trace is called that is an operation, and no iterator, function or thread.
EVENT = re.compile(r"(?P<name>[^:\s]+):(?P<type>_?[A-Z]\w*)")
# Operations that may wait for something outside of the graph, and so fill no core.
MAY_WAIT = re.compile(r"PyFunc|ReadFile|Dataset|Iterator|IDLE")

COMPILED = "model/compiled"  # stands for all that XLA has made of a model

# What loops, such as that of several steps a call, and replicas add to the names of operations.
_WHERE = re.compile(r"\b(while(/body/_\d+)?|replica_\d+)/")
_AGAIN = re.compile(r"_\d+$")  # of a scope that is entered once more
_COLLECTIVE = re.compile(r"Collective|Nccl")
# What an optimizer does with the gradients of all replicas before it updates anything.
_SUMMING = re.compile(r"AddN|Concat|Split")
# Of traces of others, whose input has no scopes: by type, or in the function of a map.
_BY_TYPE = ((DECODE, re.compile(r"Decode")), (PARSE, re.compile(r"Parse")))
_INPUT_SCOPE = "map"
_LAYERS = "augmentation"  # the scope of all on-device layers, in that of their stage


def layer_of_operation(name: str) -> str | None:
    """The on-device layer that an operation of PREPROCESS belongs to; None where it is of none."""
    *scopes, _ = [_AGAIN.sub("", part) for part in _WHERE.sub("", name).split("/")]
    if scopes[:2] != [PREPROCESS, _LAYERS] or len(scopes) < 3:
        return None
    return scopes[2].replace("random_", "")


def stage_of_operation(name: str, kind: str, on_device: bool = False) -> str | None:
    """One of `stages.STAGES`; None for what is input, but of which stage is not known.

    The outermost scope tells, and of the input, which nests, the innermost. On a CPU, what has no
    scope at all ran in a function of tf.data: layers have one.
    """
    if _COLLECTIVE.search(kind):
        return COLLECTIVE
    *scopes, _ = [_AGAIN.sub("", part) for part in _WHERE.sub("", name).split("/")]
    known = [SCOPES.get(scope) for scope in scopes]
    if known and known[0] in INPUT_STAGES and not on_device:
        return [stage for stage in known if stage in INPUT_STAGES][-1]
    if known and known[0] in STEP_STAGES:
        summing = scopes == [UPDATE_SCOPE] and _SUMMING.match(kind)
        return COLLECTIVE if summing else known[0]
    if on_device:
        return MODEL
    for stage, pattern in _BY_TYPE:
        if pattern.search(kind):
            return stage
    if MAY_WAIT.search(kind) or not scopes or scopes[0] == _INPUT_SCOPE:
        return None
    return MODEL
