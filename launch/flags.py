"""The flags that say where and how a run is started, shared by every verb that starts one."""

from __future__ import annotations

from absl import flags

from launch.defaults import apply_defaults
from launch.spec import (
    BACKENDS,
    BACKENDS_OF,
    Spec,
    default_name,
    duration,
    parse_env,
    parse_gpu,
    parse_mounts,
    parse_secrets,
)
from trainer.errors import UsageError

_BACKEND = flags.DEFINE_enum("backend", None, list(BACKENDS), "What runs it; by default local.")
_NAME = flags.DEFINE_string("name", "", "Of the run; by default made from what runs.")
_WORKERS = flags.DEFINE_integer("workers", 1, "Processes that train together.")
_GPU = flags.DEFINE_string("gpu", "", "GPUs of a worker: h100:8, l4, or a number of any kind.")
_CPUS = flags.DEFINE_integer("cpus", 4, "Processors of a worker.", lower_bound=1)
_MEMORY = flags.DEFINE_string("memory", "16Gi", "Memory of a worker.")
_SHARED = flags.DEFINE_string("shared_memory", "2Gi", "/dev/shm of a worker, part of its memory.")
_SCRATCH = flags.DEFINE_string("scratch", "20Gi", "Disk of a worker for caches and staging.")
_IMAGE = flags.DEFINE_string("image", "", "Container image by digest, REF@sha256:...")
_NAMESPACE = flags.DEFINE_string("namespace", "shardline", "Kubernetes namespace.")
_ACCOUNT = flags.DEFINE_string("service_account", "trainer", "Kubernetes service account.")
_QUEUE = flags.DEFINE_string("queue", "", "Kueue's local queue.")
_PRIORITY = flags.DEFINE_string("priority", "", "Priority class.")
_SPOT = flags.DEFINE_bool("spot", False, "On spot nodes, which may go at any moment.")
_RESTARTS = flags.DEFINE_integer(
    "max_restarts", 3, "Counted failures that are made good; exit code 75 is not counted."
)
_DEADLINE = flags.DEFINE_string("deadline", "7d", "Longest time the run may take.")
_GRACE = flags.DEFINE_string("grace", "120s", "From SIGTERM to SIGKILL.")
_ENV = flags.DEFINE_multi_string("env", [], "NAME=VALUE for the workers; may be repeated.")
_SECRET = flags.DEFINE_multi_string("secret", [], "NAME:KEY:VARIABLE of a secret; may be repeated.")
_VOLUME = flags.DEFINE_multi_string("volume", [], "CLAIM:/PATH of a volume claim; may be repeated.")
_DATA_WORKERS = flags.DEFINE_integer(
    "data_workers", 0, "Workers of a tf.data service beside the run.", lower_bound=0
)
_TENSORBOARD = flags.DEFINE_bool("tensorboard", False, "A TensorBoard beside the run.")
_SMOKE = flags.DEFINE_bool("smoke", False, "One step, one validation, one restart, and out.")
_TIME_LIMIT = flags.DEFINE_string(
    "time_limit",
    "",
    "Slurm's limit for one life, after which it is requeued; by default --deadline.",
)
_PARTITION = flags.DEFINE_string("partition", "", "Slurm partition.")
_SLURM_ACCOUNT = flags.DEFINE_string("account", "", "Slurm account.")


def spec_from_flags(verb: str, arguments: list[str]) -> Spec:
    """The specification that the command line asks for; `arguments` are the worker's.

    What the command line leaves out comes from `.launch.toml`. Raises UsageError for what cannot
    be.
    """
    names = {flag.name for flag in flags.FLAGS.get_flags_for_module(__name__)}
    apply_defaults(verb, names)
    if arguments and not arguments[0].startswith("--"):
        raise UsageError(f"unexpected argument '{arguments[0]}'; the worker's flags follow ' -- '")
    given = tuple(arguments)
    return Spec(
        verb=verb,
        name=_NAME.value or default_name(verb, given),
        backend=_BACKEND.value or BACKENDS_OF[verb][0],
        arguments=given,
        workers=_WORKERS.value,
        gpu=parse_gpu(_GPU.value),
        cpus=_CPUS.value,
        memory=_MEMORY.value,
        shared_memory=_SHARED.value,
        scratch=_SCRATCH.value,
        image=_IMAGE.value,
        namespace=_NAMESPACE.value,
        service_account=_ACCOUNT.value,
        queue=_QUEUE.value,
        priority=_PRIORITY.value,
        spot=_SPOT.value,
        max_restarts=_RESTARTS.value,
        deadline=duration("deadline", _DEADLINE.value),
        grace=duration("grace", _GRACE.value),
        env=parse_env(_ENV.value),
        secrets=parse_secrets(_SECRET.value),
        mounts=parse_mounts(_VOLUME.value),
        data_workers=_DATA_WORKERS.value,
        tensorboard=_TENSORBOARD.value,
        smoke=_SMOKE.value,
        time_limit=duration("time_limit", _TIME_LIMIT.value) if _TIME_LIMIT.value else 0,
        partition=_PARTITION.value,
        account=_SLURM_ACCOUNT.value,
    )
