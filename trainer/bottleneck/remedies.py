"""The one table of remedies: what to change, by name.

`{...}` in a text or a value is filled in from `Advice.values`. A remedy for another cause is an
entry here and the rule that gives it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from trainer.monitoring.stages import DECODE, HOST_MAP, PARSE, STORAGE, TABLE

PROFILER_RIGHTS = (
    "(NVreg_RestrictProfilingToAdminUsers=0 on the machine, or SYS_ADMIN for the container)"
)


@dataclasses.dataclass(frozen=True)
class Remedy:
    """One thing to change.

    Attributes:
      text: what to do.
      change: configuration keys and their new values; {} = no key alone makes it.
      same_training: whether what is learned stays the same.
    """

    text: str
    change: Mapping[str, str] = dataclasses.field(default_factory=dict)
    same_training: bool = True


REMEDIES: Mapping[str, Remedy] = {
    # Of the input, where the phases of a step were measured.
    "more_parallel_reads": Remedy(
        "read {reads} at a time instead of {now}", {"data.parallel_reads": "{reads}"}
    ),
    "more_shards": Remedy(
        "build the dataset with --shards={shards} instead of {now}, and read as many at a time "
        "(data.parallel_reads={shards})"
    ),
    "decoded_table": Remedy("keep the decoded pictures in memory", {"data.image_table": "decoded"}),
    "store_smaller": Remedy(
        "build the dataset with --image_size={used}: the stored pictures have {stored} pixels a "
        "side"
    ),
    "one_stored_size": Remedy(
        "build the dataset with --image_size={used}: the pictures have several sizes, and each "
        "pass resizes them"
    ),
    "store_raw": Remedy(
        "build the dataset with --encoding=raw, if memory has room for {growth:.0f} times the bytes"
    ),
    "more_cores": Remedy("give this process {cores} processor cores instead of {now:g}"),
    # Of the input, by the stage that a trace names.
    STORAGE: Remedy(
        "read more at a time (data.parallel_reads), or keep the dataset on a local disk"
    ),
    PARSE: Remedy("give the input more cores"),
    DECODE: Remedy(
        "build the dataset with --image_size, so that less is decoded, or decode once "
        "(data.image_table=decoded)"
    ),
    "decode_from_table": Remedy("build the dataset with --image_size, so that less is decoded"),
    HOST_MAP: Remedy(
        "do that work ahead of time (preprocess build --variants, --image_size), or give the input "
        "more cores"
    ),
    TABLE: Remedy(
        "build the dataset with a smaller --image_size, or data.variants=1, whose table is built "
        "once"
    ),
    "send_smaller": Remedy("store smaller pictures (--image_size); uint8 is what is sent already"),
    # Of the step.
    "steps_per_execution": Remedy(
        "run {steps} steps in one call", {"steps_per_execution": "{steps}"}
    ),
    "fewer_calls": Remedy("let several steps run in a call (steps_per_execution=10)"),
    "fewer_calls_or_larger_batch": Remedy(
        "let several steps run in a call (steps_per_execution=10), or take a larger batch"
    ),
    "fewer_kernels": Remedy(
        "take a larger batch, set TF_GPU_THREAD_MODE=gpu_private, or with one replica "
        "jit_compile=true"
    ),
    "larger_batch": Remedy(
        "take a batch_size of {batch} instead of {now}, and a learning rate that goes with it",
        {"batch_size": "{batch}"},
        same_training=False,
    ),
    "larger_operations": Remedy("take a larger batch, so that each does more"),
    "fewer_updates": Remedy("take a larger one"),
    "variants_offline": Remedy(
        "move augmentation into the dataset: `preprocess build --variants=10`, "
        "augment.enabled=false, data.variants=0",
        {"augment.enabled": "false", "data.variants": "0"},
        same_training=False,
    ),
    "costly_layer": Remedy(
        "do without the on-device layer {layer}, which takes {share:.0f} % of the time of all of "
        "them, or have it in the dataset (a recipe of `preprocess build`)"
    ),
    "augment_ahead": Remedy(
        "do so ahead of time (preprocess build --variants, augment.enabled=false)"
    ),
    "augment_costliest_ahead": Remedy(
        "do so ahead of time (preprocess build --variants, augment.enabled=false), {layer} first, "
        "which takes {share:.0f} % of their time"
    ),
    "resize_ahead": Remedy("build the dataset with a smaller --image_size"),
    "mixed_precision": Remedy(
        "compute in bfloat16", {"precision": "mixed_bfloat16"}, same_training=False
    ),
    "more_devices": Remedy(
        "the step itself is the limit: take more or faster devices, a smaller model or a smaller "
        "image_size"
    ),
    "faster_model": Remedy(
        "take more or faster devices, a smaller image_size or a smaller model, and on GPUs with "
        "tensor cores precision=mixed_bfloat16"
    ),
    # Of the exchange between replicas.
    "less_exchange": Remedy(
        "take a larger batch a replica, another distribute.all_reduce, or look for the replica "
        "that the others wait for (`diagnose` times each alone)"
    ),
    "slow_replica": Remedy(
        "look at {replica}: alone it takes {times:.1f} times as long as the others, which wait for "
        "it (another process on it, a lower clock, a slower machine?)"
    ),
    "compare_worker": Remedy(
        "compare worker {worker}'s storage, processors and memory with the others'"
    ),
    # Of what is not in a step.
    "save_less": Remedy("save every {steps} steps", {"checkpoint.every_steps": "{steps}"}),
    "save_more": Remedy(
        "save every {steps} steps, so that less is done again after a fault",
        {"checkpoint.every_steps": "{steps}"},
    ),
    "beside_saving": Remedy(
        "save into faster storage, or less often (checkpoint.every_steps; steps_per_epoch where "
        "an epoch is short)"
    ),
    "validate_less": Remedy(
        "validate every {epochs} epochs instead of {now}",
        {"validation.every_epochs": "{epochs}"},
        same_training=False,  # early stopping and the best state see fewer validations
    ),
    "validate_less_steps": Remedy(
        "validate every {steps} steps instead of {now}",
        {"validation.every_steps": "{steps}"},
        same_training=False,
    ),
    "beside_validation": Remedy(
        "validate on less (validation_steps, fewer data.validation_splits), or less often "
        "(validation.every_epochs, validation.every_steps)"
    ),
    "beside_restarts": Remedy(
        "look for what ended the attempts (logs/, `launch status`), and for what delays the next"
    ),
    "beside_start": Remedy(
        "train longer in one process: imports, building and compiling are paid once a start"
    ),
    "beside_table": Remedy(
        "build the dataset with a smaller --image_size, or keep the table encoded",
        {"data.image_table": "encoded"},
    ),
    "more_memory": Remedy(
        "raise the container's memory limit, or keep less in memory (data.image_table=encoded, a "
        "smaller --image_size, fewer workers on this machine)"
    ),
    "keep_files": Remedy(
        "raise the container's memory limit by up to {gigabytes} GB, so that the dataset stays in "
        "memory between passes, or build it with a smaller --image_size"
    ),
    "cpu_limit": Remedy("raise the container's CPU limit to {cores} cores"),
    "cpu_limit_unknown": Remedy("raise the container's CPU limit"),
    "fewer_replicas": Remedy(
        "train with {replicas} replica(s) on this machine", {"virtual_replicas": "{replicas}"}
    ),
    "fewer_workers": Remedy(
        "train with {workers} worker(s) of this run on these cores, or give each its own"
    ),
    "cold_pass": Remedy(
        "keep the dataset on a local disk (of one at gs://, --stage_to copies it), or train longer "
        "in one place: what was read once stays in memory"
    ),
    "more_followers": Remedy(
        "give `preprocess follow` {more} more worker(s), {workers} in all: --workers={workers} on "
        "a machine with as many cores (--augment_workers={workers} of `launch train`), "
        "--parallelism={workers} on a cluster"
    ),
    "more_followers_and_shards": Remedy(
        "give `preprocess follow` {more} more worker(s), {workers} in all, and build the dataset "
        "with at least --shards={workers}: each shard is built by one worker"
    ),
    "measure_follower": Remedy(
        "keep `preprocess follow` running during the training: it has not yet measured how long a "
        "variant takes, so how many workers would do is not known"
    ),
    "follow_sooner": Remedy(
        "start `preprocess follow` before the training, with a larger --ahead, and keep it running"
    ),
    "beside_callbacks": Remedy(
        "write TensorBoard's files to faster storage, or fewer of them (tensorboard.histograms, "
        "tensorboard.pictures), make callbacks of your own faster, or report less often "
        "(steps_per_epoch)"
    ),
    # Of what is not known yet.
    "diagnose": Remedy(
        "`python -m trainer diagnose` with this run's --config and --data measures what each "
        "stage costs, and what a change would bring"
    ),
    "diagnose_workers": Remedy(
        "`python -m trainer diagnose` with this run's --config and --data, on every worker or with "
        "--local_workers={workers}, measures what each stage costs, and what a change would bring"
    ),
    "diagnose_worker": Remedy(
        "`python -m trainer diagnose` on every worker names the stage that takes long on worker "
        "{worker}"
    ),
    "diagnose_input": Remedy("let `diagnose` measure them"),
    "profiler_rights": Remedy(
        "give the profiler the right to look at the GPUs, of which the trace has nothing "
        f"{PROFILER_RIGHTS}"
    ),
    # Of what happens outside the run.
    "other_processes": Remedy("look for what else runs on this machine, and give training its own"),
    "gpu_clock": Remedy(
        "look at the GPU's cooling, power limit and power supply (`nvidia-smi -q -d "
        "PERFORMANCE,POWER,TEMPERATURE`)"
    ),
    "gpu_link": Remedy(
        "look at the slot, riser and firmware settings of that GPU (`nvidia-smi -q`, PCI), or "
        "train on another"
    ),
    "gpu_errors": Remedy(
        "take that GPU out of service and have it looked at (`nvidia-smi -q -d ECC`): its results "
        "may be wrong"
    ),
    "gpu_alone": Remedy("look for what else runs on that GPU (`nvidia-smi`), and give it its own"),
    "what_changed": Remedy(
        "look for what has changed after epoch {epoch}: another process, a lower clock, a slower "
        "disk, on this worker or another"
    ),
}
