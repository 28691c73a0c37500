"""The GPU names that users write, and their names in schedulers.

`h100:8` means eight H100 for each worker. The accelerator labels are those of GKE's node pools;
Slurm's generic resource uses the short name as its type.
"""

from __future__ import annotations

import dataclasses

from preprocess.shell.errors import UsageError
from preprocess.shell.nearest import did_you_mean

RESOURCE = "nvidia.com/gpu"
NODE_LABEL = "cloud.google.com/gke-accelerator"
MOST_PER_NODE = 16

# Short name -> the value of NODE_LABEL.
ACCELERATORS = {
    "t4": "nvidia-tesla-t4",
    "v100": "nvidia-tesla-v100",
    "p100": "nvidia-tesla-p100",
    "l4": "nvidia-l4",
    "a100": "nvidia-tesla-a100",
    "a100-80gb": "nvidia-a100-80gb",
    "h100": "nvidia-h100-80gb",
    "h100-mega": "nvidia-h100-mega-80gb",
    "h200": "nvidia-h200-141gb",
    "b200": "nvidia-b200",
}
# GPUs of a whole machine: a worker that uses them all does not share its node.
PER_NODE = {"a100": 16, "a100-80gb": 8, "h100": 8, "h100-mega": 8, "h200": 8, "b200": 8}


@dataclasses.dataclass(frozen=True)
class Gpu:
    """GPUs of one worker; `kind` is "" for any kind."""

    kind: str
    count: int

    @property
    def label(self) -> str:
        """The value of NODE_LABEL; "" for any kind."""
        return ACCELERATORS[self.kind] if self.kind else ""

    @property
    def whole_node(self) -> bool:
        """Whether the worker uses all GPUs of its machine."""
        return self.count >= PER_NODE.get(self.kind, MOST_PER_NODE)


def parse_gpu(text: str) -> Gpu | None:
    """`h100:8`, `l4` (one), `2` (any two); "" or `0` is none. Raises UsageError."""
    if text in ("", "0"):
        return None
    kind, _, count = text.lower().rpartition(":") if ":" in text else (text.lower(), "", "1")
    if kind.isdigit() and ":" not in text:
        kind, count = "", kind
    if not count.isdigit() or not 1 <= int(count) <= MOST_PER_NODE:
        raise UsageError(f"--gpu={text}: '{count}' must be 1 to {MOST_PER_NODE} GPUs a worker")
    if kind and kind not in ACCELERATORS:
        hint = did_you_mean(kind, ACCELERATORS)
        raise UsageError(f"--gpu={text}: unknown kind{hint} (known: {', '.join(ACCELERATORS)})")
    return Gpu(kind, int(count))
