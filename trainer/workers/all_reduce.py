"""How gradients are summed over replicas: `distribute.all_reduce`, and what each method supports.

    what           CPU replicas   GPUs of a machine   workers, CPU   workers, GPU
    auto           ring           nccl                ring           nccl
    nccl           -              yes                 -              yes
    hierarchical   even number    even number         -              -
    one_device     yes            yes                 -              -
    ring           yes            -                   yes            yes

`hierarchical` is TensorFlow's copy between two halves of the devices; with an odd number it
silently leaves out the last one's gradients, so that is rejected here.
"""

from __future__ import annotations

import tensorflow as tf

from preprocess.shell.errors import ConfigError

AUTO = "auto"
# By (several workers, GPUs), besides auto.
_POSSIBLE = {
    (False, False): ("hierarchical", "one_device", "ring"),
    (False, True): ("nccl", "hierarchical", "one_device"),
    (True, False): ("ring",),
    (True, True): ("nccl", "ring"),
}


def check_all_reduce(how: str, *, workers: bool, gpus: bool, devices: int) -> None:
    """Raises ConfigError if these devices do not support a method.

    Args:
      how: `distribute.all_reduce`.
      workers: whether there are several.
      gpus: whether the replicas are on GPUs.
      devices: replicas of this process.
    """
    possible = _POSSIBLE[workers, gpus]
    if how not in (AUTO, *possible):
        kind = f"{'several workers' if workers else 'one machine'} with {'GPUs' if gpus else 'CPU'}"
        raise ConfigError(
            f"distribute.all_reduce={how} is not supported on {kind}; set {AUTO} or one of "
            f"{', '.join(possible)}"
        )
    if how == "hierarchical" and devices % 2 and devices > 1:
        raise ConfigError(
            f"distribute.all_reduce=hierarchical with {devices} replicas: TensorFlow would leave "
            f"out the gradients of the last one; use an even number, or {AUTO}"
        )


def cross_device_ops(how: str, devices: int) -> tf.distribute.CrossDeviceOps | None:
    """MirroredStrategy's argument for a method; None = its own choice, nccl or ring."""
    if devices == 1:  # nothing to sum
        return None
    made = {
        "nccl": tf.distribute.NcclAllReduce,
        "hierarchical": tf.distribute.HierarchicalCopyAllReduce,
        "one_device": tf.distribute.ReductionToOneDevice,
    }.get(how)
    return made() if made else None


def implementation(how: str, gpus: bool) -> tf.distribute.experimental.CommunicationImplementation:
    """CommunicationOptions of several workers for a method."""
    kinds = tf.distribute.experimental.CommunicationImplementation
    if how == AUTO:
        return kinds.AUTO if gpus else kinds.RING
    return kinds.NCCL if how == "nccl" else kinds.RING
