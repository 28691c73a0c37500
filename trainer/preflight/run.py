"""The checks in order, cheap ones first; what one finds out the next may need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

from preprocess.dataset_format import Manifest, Split
from trainer.dataset import check_fits, load_manifest
from trainer.errors import ConfigError, DataError, UserError
from trainer.preflight import checks, facts
from trainer.preflight.checks import FAIL, OK, Check

LAST = "time"  # the name of the check that comes after all others


def preflight(config: Any, data: str, workdir: str) -> Iterator[Check]:
    """Looks at everything, a Check at a time; ends after one that leaves nothing to go on with.

    Args:
      config: of the run.
      data: dataset directory.
      workdir: run directory, '' = not given.

    TF_CONFIG counts for the number of workers only: this process looks at its own machine, with
    its share of the batch, and waits for no other.
    """
    try:
        workers = facts.workers(os.environ.pop("TF_CONFIG", ""))
        manifest = load_manifest(data)
        check_fits(config, manifest, data)
    except UserError as error:
        yield _failed("dataset", data, error)
        return
    yield Check("dataset", OK, f"{data}, {manifest.task}, splits {', '.join(manifest.splits)}")
    yield _workdir(workdir, config, manifest)
    # TensorFlow from here on: some seconds.
    from trainer import devices
    from trainer.reader.records import check_shards

    split = manifest.split(config.data.train_split)
    try:
        for name in (config.data.train_split, *config.data.validation_splits):
            used = _variants(manifest.split(name), config)
            check_shards(data, [s for s in manifest.split(name).shards if s.variant < used])
    except UserError as error:
        yield _failed("shards", data, error)
        return
    first = split.image_shards()
    yield checks.shards(len(first), sum(shard.bytes for shard in first), workers)
    hub = _hub(config.model.backbone)
    yield hub
    gpus = _gpus(config)
    yield gpus
    strategy = devices.prepare(config, lambda _: None)
    replicas = strategy.num_replicas_in_sync
    on_gpu = any("GPU" in device for device in strategy.extended.worker_devices)
    records = split.triplets or split.images
    batch = checks.batch(config.batch_size, replicas * workers, records, on_gpu)
    yield batch
    variants = _variants(split, config)
    yield checks.passes(records, config.batch_size, config.steps_per_epoch, config.epochs, variants)
    if FAIL in (hub.status, gpus.status, batch.status):
        return
    yield from _with_model(config, data, manifest, strategy, workdir, workers)


def exit_code(found: list[Check]) -> int:
    """0, or that of bad data (65), or of a bad configuration (78)."""
    failed = [check for check in found if check.status == FAIL]
    if any(check.data for check in failed):
        return os.EX_DATAERR
    return os.EX_CONFIG if failed else os.EX_OK


def _with_model(
    config: Any, data: str, manifest: Manifest, strategy: Any, workdir: str, workers: int
) -> Iterator[Check]:
    """What needs the readers and the model."""
    from trainer import devices
    from trainer.memory import available_bytes
    from trainer.order import steps_per_pass
    from trainer.preflight import trial_step
    from trainer.session import add_optimizer, build_session, optimizer_variables
    from trainer.training import open_readers

    global_batch = config.batch_size
    config = config.copy_and_resolve_references()
    config.batch_size //= workers
    name = "model"
    try:
        devices.check_replicas(config, strategy.num_replicas_in_sync)
        session = build_session(config, strategy, manifest.task, len(manifest.classes))
        optimizer = add_optimizer(session, total_steps=1)
        weights = _bytes_of(session.model.weights)
        count = session.model.count_params()
        yield Check(name, OK, f"{config.model.backbone}, {count:,} weights")
        state = weights + _bytes_of(optimizer_variables(optimizer))
        free = shutil.disk_usage(facts.existing_folder(workdir or ".")).free
        yield checks.disk(state, weights, config.checkpoint.keep, free)
        name, free = "memory", available_bytes()
        reader, validation = open_readers(config, data, manifest)
        readers = {config.data.train_split: reader, **validation}
        yield checks.memory(
            [
                (split, each.table, each.table_bytes)
                for split, each in readers.items()
                if each.table
            ],
            free,
        )
        name = "step"
        timing, batch = trial_step.training_steps(session, reader)
        yield checks.shapes({key: tuple(value.shape) for key, value in batch.items()})
        wanted, bounds, found = trial_step.pixel_range(session, batch)
        yield checks.pixels(wanted, bounds, found, bool(config.model.pixel_range))
        yield checks.step(timing.losses, timing.moved)
        name, validation_seconds = LAST, 0.0
        for each in validation.values():
            steps = steps_per_pass(each.records, global_batch)
            steps = min(config.validation_steps or steps, steps)
            validation_seconds += steps * trial_step.forward_seconds(session, each)
        yield checks.epoch_time(
            timing.step_seconds,
            timing.wait_seconds,
            config.steps_per_epoch or steps_per_pass(reader.records, global_batch),
            validation_seconds,
            config.epochs,
        )
    except UserError as error:
        yield _failed(name, config.model.backbone if name == "model" else data, error)


def _failed(name: str, value: str, error: UserError) -> Check:
    return Check(name, FAIL, value, str(error), data=isinstance(error, DataError))


def _variants(split: Split, config: Any) -> int:
    return min(config.data.variants or split.variants, split.variants)


def _workdir(path: str, config: Any, manifest: Manifest) -> Check:
    problem = facts.write_problem(path) if path else ""
    goes_on, changed = (
        facts.run_difference(path, config, manifest.digest) if path and not problem else (False, "")
    )
    return checks.workdir(path, problem, changed, goes_on)


def _hub(backbone: str) -> Check:
    problem = ""
    if backbone.startswith("hub:"):
        from trainer.hub import locate

        try:
            locate(backbone.removeprefix("hub:"))
        except ConfigError as error:
            problem = str(error)
    return checks.hub(backbone, problem)


def _gpus(config: Any) -> Check:
    import tensorflow as tf

    from trainer.devices import NVIDIA_GPUS

    visible = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in visible]
    capabilities = [".".join(map(str, each.get("compute_capability", (0, 0)))) for each in details]
    # "sm_75" has its kernels, "compute_80" is what newer GPUs compile from at first use.
    built = tf.sysconfig.get_build_info().get("cuda_compute_capabilities", [])
    numbers = [int(each.rpartition("_")[2]) / 10 for each in built]
    return checks.gpus(
        in_machine=len(list(NVIDIA_GPUS.iterdir())) if NVIDIA_GPUS.is_dir() else 0,
        visible=len(visible),
        virtual_replicas=config.virtual_replicas,
        hidden="CUDA_VISIBLE_DEVICES" in os.environ,
        capabilities=[float(each) for each in capabilities],
        newest_built=max(numbers, default=0.0),
        precision=config.precision,
    )


def _bytes_of(variables: list[Any]) -> int:
    return sum(int(v.shape.num_elements() or 0) * v.dtype.size for v in variables)
