"""Which replicas there are: the strategy, chosen from the configuration and the machine.

Everything here must happen before any other TensorFlow call.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from trainer.all_reduce import check_all_reduce, cross_device_ops, implementation
from trainer.errors import ConfigError
from trainer.order import ReplicaSlice

NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")  # one entry a GPU, wherever the driver is loaded
PEER_TIMEOUT_SECONDS = 600.0  # of a collective; without one a lost peer hangs the others for ever


def prepare(config: Any, say: Callable[[str], None]) -> Any:
    """Seeds, precision, devices; returns the tf.distribute strategy.

    TF_CONFIG set: MultiWorkerMirroredStrategy. `virtual_replicas` > 0: that many CPU devices.
    Otherwise every GPU, or the CPU where there is none.

    Raises:
      ConfigError: a TF_CONFIG that cannot be read.
    """
    if config.virtual_replicas:
        cpu = tf.config.list_physical_devices("CPU")[0]
        each = [tf.config.LogicalDeviceConfiguration()] * config.virtual_replicas
        tf.config.set_logical_device_configuration(cpu, each)
        # A GPU left visible would be reserved whole and never used.
        tf.config.set_visible_devices([], "GPU")
    strategy = _strategy(config, say)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(config.seed)
    tf.keras.mixed_precision.set_global_policy(config.precision)
    tf.keras.backend.set_image_data_format("channels_last")
    return strategy


def check_replicas(config: Any, replicas: int) -> None:
    """Raises ConfigError for a batch that does not divide among them, or XLA with several."""
    if config.batch_size % replicas:
        raise ConfigError(
            f"batch_size={config.batch_size} does not divide among {replicas} replicas; "
            f"take a multiple of {replicas}"
        )
    if config.jit_compile and replicas > 1:
        raise ConfigError(
            f"jit_compile works with one replica only in TensorFlow 2.15, there are {replicas}"
        )


def _strategy(config: Any, say: Callable[[str], None]) -> Any:
    gpus = [] if config.virtual_replicas else tf.config.list_physical_devices("GPU")
    how, workers = config.distribute.all_reduce, bool(os.environ.get("TF_CONFIG"))
    count = config.virtual_replicas or len(gpus) or 1
    check_all_reduce(how, workers=workers, gpus=bool(gpus), devices=count)
    if workers:
        options = tf.distribute.experimental.CommunicationOptions(
            implementation=implementation(how, bool(gpus)),
            timeout_seconds=PEER_TIMEOUT_SECONDS,
        )
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    if config.virtual_replicas:
        names = [f"CPU:{i}" for i in range(config.virtual_replicas)]
        return tf.distribute.MirroredStrategy(names, cross_device_ops(how, count))
    if gpus:
        return tf.distribute.MirroredStrategy(cross_device_ops=cross_device_ops(how, count))
    if NVIDIA_GPUS.is_dir() and any(NVIDIA_GPUS.iterdir()):
        say(
            "WARNING: this machine has NVIDIA GPUs, but TensorFlow sees none; training on the CPU. "
            "Install requirements-gpu.txt, and check CUDA_VISIBLE_DEVICES and the driver"
        )
    return tf.distribute.MirroredStrategy(["CPU:0"])


def describe(strategy: Any) -> str:
    """`2 replicas (CPU)`, for people."""
    count = strategy.num_replicas_in_sync
    kinds = {device.split(":")[-2] for device in strategy.extended.worker_devices}
    return f"{count} replica{'s' if count > 1 else ''} ({', '.join(sorted(kinds))})"


def is_chief(tf_config: str | None = None) -> bool:
    """Whether this process writes the run directory: the task `chief`, or worker 0 without one.

    Args:
      tf_config: JSON; by default the environment's TF_CONFIG. Without one there is one process.

    Raises:
      ConfigError: it cannot be read.
    """
    text = os.environ.get("TF_CONFIG", "") if tf_config is None else tf_config
    if not text:
        return True
    try:
        record = json.loads(text)
        cluster, task = record.get("cluster", {}), record.get("task", {})
        kind, number = task.get("type", ""), int(task.get("index", 0))
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"TF_CONFIG is not what TensorFlow expects ({error}): {text}") from None
    return kind in ("", "chief") or (kind == "worker" and number == 0 and "chief" not in cluster)


def distribute(strategy: Any, make: Callable[[ReplicaSlice], Any]) -> Any:
    """A distributed dataset of what `make` gives for the replicas of each input pipeline.

    Divided by hand: AutoShard would silently give workers different passes. One CPU replica has
    it plain, with nothing to divide or to copy to: that saves 0.3 ms a step.
    """
    if strategy.num_replicas_in_sync == 1 and "CPU" in strategy.extended.worker_devices[0]:
        return make(ReplicaSlice())

    def dataset(context: Any) -> Any:
        count = context.num_replicas_in_sync // context.num_input_pipelines
        slice_ = ReplicaSlice(
            context.input_pipeline_id * count, count, context.num_replicas_in_sync
        )
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return make(slice_).with_options(options)

    return strategy.distribute_datasets_from_function(dataset)
