"""The flags that say where and how a run is started, shared by every verb that starts one."""

from __future__ import annotations

from absl import flags

import launch.namespace
from launch.augmenting import MOST_VARIANTS, MOST_WORKERS, with_live_variants
from launch.backends.kinds.registry import KINDS, help_text, running
from launch.defaults import apply_defaults
from launch.namespace import NAMESPACE
from launch.spec import (
    Spec,
    default_name,
    duration,
    parse_env,
    parse_gpu,
    parse_mounts,
    parse_secrets,
)
from preprocess.shell.errors import UsageError
from preprocess.shell.path_flags import expanded_words

flags.adopt_module_key_flags(launch.namespace)
_BACKEND = flags.DEFINE_enum(
    "backend", None, list(KINDS), f"Where it runs; by default local. {help_text()}."
)
_NAME = flags.DEFINE_string("name", "", "Name of the run; by default derived from its flags.")
_WORKERS = flags.DEFINE_integer("workers", 1, "Number of worker processes.")
_GPU = flags.DEFINE_string("gpu", "", "GPUs per worker: h100:8, l4, or a number of any kind.")
_CPUS = flags.DEFINE_integer("cpus", 4, "CPUs per worker.", lower_bound=1)
_MEMORY = flags.DEFINE_string("memory", "16Gi", "Memory per worker.")
_SHARED = flags.DEFINE_string("shared_memory", "2Gi", "/dev/shm per worker, part of its memory.")
_SCRATCH = flags.DEFINE_string("scratch", "20Gi", "Disk per worker for caches and staging.")
_IMAGE = flags.DEFINE_string("image", "", "Container image by digest, REF@sha256:...")
_ACCOUNT = flags.DEFINE_string("service_account", "trainer", "Kubernetes service account.")
_QUEUE = flags.DEFINE_string("queue", "", "Kueue's local queue.")
_PRIORITY = flags.DEFINE_string("priority", "", "Priority class.")
_SPOT = flags.DEFINE_bool("spot", False, "Run on spot nodes, which may be reclaimed at any time.")
_RESTARTS = flags.DEFINE_integer(
    "max_restarts", 3, "Failures that are retried; exit codes 75 and 76 are not counted."
)
_DEADLINE = flags.DEFINE_string("deadline", "7d", "Longest time the run may take.")
_GRACE = flags.DEFINE_string("grace", "120s", "Time from SIGTERM to SIGKILL.")
_ENV = flags.DEFINE_multi_string("env", [], "NAME=VALUE for the workers; may be repeated.")
_NOT_SECRET = flags.DEFINE_multi_string(
    "not_secret", [], "Name of an --env variable that looks like a secret but is not."
)
_SECRET = flags.DEFINE_multi_string("secret", [], "NAME:KEY:VARIABLE of a secret; may be repeated.")
_VOLUME = flags.DEFINE_multi_string("volume", [], "CLAIM:/PATH of a volume claim; may be repeated.")
_TENSORBOARD = flags.DEFINE_bool("tensorboard", False, "Start a TensorBoard with the run.")
_SMOKE = flags.DEFINE_bool(
    "smoke", False, "Run one step, one validation and one restart, to test the whole chain."
)
_AUGMENT = flags.DEFINE_integer(
    "augment_workers",
    0,
    "Of `train`: processes that build the variants of the next passes next to it; sets "
    "data.variants=live.",
    lower_bound=0,
    upper_bound=MOST_WORKERS,
)
_AUGMENT_RECIPE = flags.DEFINE_string(
    "augment_recipe", "", "Recipe of these variants, where the dataset was built with --variants=1."
)
_AUGMENT_AHEAD = flags.DEFINE_integer(
    "augment_ahead",
    0,
    "Variants built ahead of the pass that the training is in; 0 = as `preprocess follow` has it.",
    lower_bound=0,
    upper_bound=MOST_VARIANTS,
)
_AUGMENT_KEEP = flags.DEFINE_integer(
    "augment_keep",
    0,
    "Variants kept, of the current pass and those before it; 0 = as `preprocess follow` has it.",
    lower_bound=0,
    upper_bound=MOST_VARIANTS,
)
_TIME_LIMIT = flags.DEFINE_string(
    "time_limit",
    "",
    "Slurm's limit for one attempt, after which it is requeued; by default --deadline.",
)
_PARTITION = flags.DEFINE_string("partition", "", "Slurm partition.")
_SLURM_ACCOUNT = flags.DEFINE_string("account", "", "Slurm account.")


def spec_from_flags(verb: str, arguments: list[str]) -> Spec:
    """The specification from the command line; `arguments` are the worker's.

    What the command line leaves out comes from `.launch.toml`. Raises UsageError for contradictory
    flags.
    """
    names = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(__name__)}
    apply_defaults(verb, names)
    if arguments and not arguments[0].startswith("--"):
        raise UsageError(f"unexpected argument '{arguments[0]}'; the worker's flags follow ' -- '")
    backend = _BACKEND.value or running(verb)[0]
    # A pod has another home folder; elsewhere the run is looked up by its paths later.
    here = not KINDS[backend].in_cluster
    given = tuple(expanded_words(arguments) if here else arguments)
    if _AUGMENT.value and verb == "train":
        given = with_live_variants(given)
    return Spec(
        verb=verb,
        name=_NAME.value or default_name(verb, given),
        backend=backend,
        arguments=given,
        workers=_WORKERS.value,
        gpu=parse_gpu(_GPU.value),
        cpus=_CPUS.value,
        memory=_MEMORY.value,
        shared_memory=_SHARED.value,
        scratch=_SCRATCH.value,
        image=_IMAGE.value,
        namespace=NAMESPACE.value,
        service_account=_ACCOUNT.value,
        queue=_QUEUE.value,
        priority=_PRIORITY.value,
        spot=_SPOT.value,
        max_restarts=_RESTARTS.value,
        deadline=duration("deadline", _DEADLINE.value),
        grace=duration("grace", _GRACE.value),
        env=parse_env(_ENV.value, _NOT_SECRET.value),
        secrets=parse_secrets(_SECRET.value),
        mounts=parse_mounts(_VOLUME.value),
        tensorboard=_TENSORBOARD.value,
        smoke=_SMOKE.value,
        augment_workers=_AUGMENT.value,
        augment_recipe=_AUGMENT_RECIPE.value,
        augment_ahead=_AUGMENT_AHEAD.value,
        augment_keep=_AUGMENT_KEEP.value,
        time_limit=duration("time_limit", _TIME_LIMIT.value) if _TIME_LIMIT.value else 0,
        partition=_PARTITION.value,
        account=_SLURM_ACCOUNT.value,
    )
