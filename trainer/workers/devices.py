"""The replicas: chooses a strategy from the configuration and the machine.

Everything here must happen before any other TensorFlow call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tensorflow.python.eager import context

from preprocess.shell.errors import ConfigError
from trainer.compat.coordination import coordinated_job
from trainer.config.keys import Config
from trainer.data.order import ReplicaSlice
from trainer.workers.all_reduce import check_all_reduce, cross_device_ops, implementation
from trainer.workers.cluster import Cluster

NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")  # one entry a GPU, if the driver is loaded
# A worker without heartbeats for this long is lost, and with it every collective.
# TensorFlow's default of 10 s ends runs on machines that are busy or short of memory.
HEARTBEAT_SECONDS = 20.0


def prepare(
    config: Config, say: Callable[[str], None], cluster: Cluster | None = None
) -> tf.distribute.Strategy:
    """Sets seeds and precision, chooses devices; returns the tf.distribute strategy.

    With a cluster: MultiWorkerMirroredStrategy. `virtual_replicas` > 0: that many CPU devices.
    Otherwise every GPU, or the CPU if there is none.
    """
    if config.virtual_replicas and cluster is None:
        cpu = tf.config.list_physical_devices("CPU")[0]
        each = [tf.config.LogicalDeviceConfiguration()] * config.virtual_replicas
        tf.config.set_logical_device_configuration(cpu, each)
        # A visible GPU would be reserved completely and never used.
        tf.config.set_visible_devices([], "GPU")
    strategy = _strategy(config, say) if cluster is None else _workers(config, cluster)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(config.seed)
    tf.keras.mixed_precision.set_global_policy(config.precision)
    tf.keras.backend.set_image_data_format("channels_last")
    return strategy


def check_replicas(config: Config, replicas: int) -> None:
    """Raises ConfigError for a batch that cannot be divided evenly, or XLA with several
    replicas.
    """
    if config.batch_size % replicas:
        raise ConfigError(
            f"batch_size={config.batch_size} cannot be divided evenly among {replicas} replicas; "
            f"set a multiple of {replicas}"
        )
    if config.jit_compile and replicas > 1:
        raise ConfigError(
            f"jit_compile needs a single replica, but there are {replicas}; set jit_compile=false"
        )


def _strategy(config: Config, say: Callable[[str], None]) -> tf.distribute.Strategy:
    gpus = [] if config.virtual_replicas else tf.config.list_physical_devices("GPU")
    how, count = config.distribute.all_reduce, config.virtual_replicas or len(gpus) or 1
    check_all_reduce(how, workers=False, gpus=bool(gpus), devices=count)
    ops = cross_device_ops(how, count)
    if config.virtual_replicas:
        names = [f"CPU:{i}" for i in range(config.virtual_replicas)]
        return tf.distribute.MirroredStrategy(names, ops)
    if gpus:  # named, since it would otherwise look for them in TF_CONFIG
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(len(gpus))], ops)
    warn_of_unseen_gpus(say)
    return tf.distribute.MirroredStrategy(["CPU:0"])


def warn_of_unseen_gpus(say: Callable[[str], None]) -> None:
    """Warns if the machine has GPUs but TensorFlow sees none."""
    if tf.config.list_physical_devices("GPU"):
        return
    if NVIDIA_GPUS.is_dir() and any(NVIDIA_GPUS.iterdir()):
        say(
            "WARNING: this machine has NVIDIA GPUs, but TensorFlow sees none; using the CPU. "
            "Install requirements-gpu.txt, and check CUDA_VISIBLE_DEVICES and the driver"
        )


def _workers(config: Config, cluster: Cluster) -> tf.distribute.Strategy:
    """The strategy over all workers, which must be running: the CPU or all GPUs of each."""
    gpus = tf.config.list_physical_devices("GPU")
    how = config.distribute.all_reduce
    check_all_reduce(how, workers=True, gpus=bool(gpus), devices=len(gpus) or 1)
    # Without `timeout_seconds`: TensorFlow starts a thread for each collective, which sleeps for
    # that long even where the collective has ended, so a long run of short steps reaches the
    # system's limit of threads (tensorflow/tensorflow#62466). The watchdog ends what hangs.
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=implementation(how, bool(gpus))
    )
    # What the strategy does itself, except for the timeouts: there is no public way to set them.
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=cluster.leader,
        cluster_register_timeout_in_ms=int(1000 * config.watchdog.start_seconds),
        heartbeat_timeout_in_ms=int(1000 * HEARTBEAT_SECONDS),
        coordinated_jobs=[coordinated_job(name, tasks) for name, tasks in cluster.jobs],
    )
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def gpus_of(strategy: tf.distribute.Strategy) -> int:
    """How many of its replicas in this process are on GPUs."""
    return sum("GPU" in device for device in strategy.extended.worker_devices)


def describe(strategy: tf.distribute.Strategy) -> str:
    """`2 replicas (CPU)`, for messages."""
    count = strategy.num_replicas_in_sync
    kinds = {device.split(":")[-2] for device in strategy.extended.worker_devices}
    return f"{count} replica{'s' if count > 1 else ''} ({', '.join(sorted(kinds))})"


def distribute(
    strategy: tf.distribute.Strategy,
    make: Callable[[ReplicaSlice], tf.data.Dataset],
    *,
    endless: bool = False,
) -> tf.distribute.DistributedDataset:
    """A distributed dataset of the datasets that `make` builds for each input pipeline's replicas.

    `endless` promises that they are endless: otherwise the workers ask each other before every
    batch whether all have one, so that each waits for the slowest reader, and forever if one takes
    more batches than another.

    Distributed explicitly: AutoShard would silently give workers different passes. A single CPU
    replica gets the plain dataset, with nothing to divide or copy: that saves 0.3 ms a step.
    """
    if strategy.num_replicas_in_sync == 1 and "CPU" in strategy.extended.worker_devices[0]:
        return make(ReplicaSlice())

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        count = context.num_replicas_in_sync // context.num_input_pipelines
        slice_ = ReplicaSlice(
            context.input_pipeline_id * count, count, context.num_replicas_in_sync
        )
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        made = make(slice_).with_options(options)
        if endless:
            made = made.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        return made

    return strategy.distribute_datasets_from_function(dataset)
