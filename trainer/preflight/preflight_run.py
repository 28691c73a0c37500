"""The checks in order, cheap ones first; what one finds out the next may need."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from preprocess.shell.errors import ConfigError, UserError
from preprocess.shell.exit_codes import ExitCode
from preprocess.shell.process import process_started
from trainer.config.keys import Config, with_values
from trainer.config.own_code import own_code
from trainer.config.running_sections import REUSE, DataConfig
from trainer.config.task_table import task_kind
from trainer.config.training_stages import last_stage, stages_of
from trainer.monitoring.cores import available_cores, throttling
from trainer.preflight import checks, facts, machine_checks
from trainer.preflight.checks import FAIL, OK, WARNING, Check

if TYPE_CHECKING:
    import tensorflow as tf

    from trainer.data.reader import Reader, SetReader
    from trainer.data.sets import TrainingSet

LAST = "time"  # the name of the check that comes after all others


def preflight(
    config: Config, data: str, workdir: str, further: Sequence[str] = ()
) -> Iterator[Check]:
    """Runs all checks, one at a time; ends after one that the others depend on has failed.

    Args:
      config: of the run.
      data: dataset directory.
      workdir: run directory, '' = not given.
      further: datasets that are trained on together with the first.

    TF_CONFIG counts for the number of workers only: this process looks at its own machine, with
    its share of the batch, and waits for no other.
    """
    try:
        workers = facts.workers(os.environ.pop("TF_CONFIG", ""))
        from trainer.data import learnable
        from trainer.data.sets import open_sets, sets_in_words, shares_of

        sets = open_sets(config, [data, *further])
        manifest = sets[0].manifest
        learnable.check_learnable(config, manifest)
    except UserError as error:
        yield _failed("dataset", data, error)
        return
    for each in sets:
        splits = ", ".join(each.manifest.splits)
        yield Check("dataset", OK, f"{each.path}, {manifest.task}, splits {splits}")
    for line in sets_in_words(config.data, sets):
        yield Check("shares", OK, line)
    yield _workdir(workdir, config, sets)
    # TensorFlow from here on: some seconds.
    from trainer.data.records import check_shards
    from trainer.monitoring.gpu_monitor import memory_in_use
    from trainer.workers import devices

    split = manifest.split(config.data.train_split)
    try:
        for each in sets:
            data = each.path
            for name in (config.data.train_split, *each.config(config).data.validation_splits):
                used = each.manifest.split(name)
                most = config.data.stored_variants(used.variants)
                check_shards(data, [s for s in used.shards if s.variant < most])
    except UserError as error:
        yield _failed("shards", data, error)
        return
    first = split.image_shards()
    yield checks.shards(len(first), sum(shard.bytes for shard in first), workers)
    hub = _hub(config.model.backbone)
    yield hub
    gpus = _gpus(config)
    yield gpus
    yield checks.gpu_memory(
        memory_in_use(), os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "").lower() in ("true", "1")
    )
    strategy = devices.prepare(config, lambda _: None)
    replicas = strategy.num_replicas_in_sync
    on_gpu = any("GPU" in device for device in strategy.extended.worker_devices)
    records = split.triplets or split.images
    if further:  # those of the other sets, too, until the first set's have all been read
        records = shares_of(config.data, sets).row(0, records - 1) + 1
    batch = checks.batch(config.batch_size, replicas * workers, records, on_gpu)
    yield batch
    if config.data.live:
        yield _live(config.data, sets[0], workdir)
    variants = 1 if config.data.live else config.data.stored_variants(split.variants)
    yield machine_checks.cpu(
        available_cores(), os.cpu_count() or 1, _throttled(), 0 if on_gpu else replicas
    )
    yield checks.passes(records, config.batch_size, config.steps_per_epoch, config.epochs, variants)
    if FAIL in (hub.status, gpus.status, batch.status):
        return
    yield from _with_model(config, sets, strategy, workdir, workers)


def exit_code(found: list[Check]) -> int:
    """0, or that of what failed; of several, the dataset's first, the configuration's last."""
    codes = {check.code for check in found if check.status == FAIL}
    return ExitCode.DATA if ExitCode.DATA in codes else min(codes, default=ExitCode.DONE)


def _with_model(
    config: Config,
    sets: Sequence[TrainingSet],
    strategy: tf.distribute.Strategy,
    workdir: str,
    workers: int,
) -> Iterator[Check]:
    """What needs the readers and the model."""
    from trainer.data.class_weights import with_class_weights
    from trainer.data.order import steps_per_pass
    from trainer.data.reader import open_readers
    from trainer.data.sets import shares_of
    from trainer.models.build_backbone import BACKBONE
    from trainer.models.freezing import check_trainable
    from trainer.models.layer_rows import layer_rows
    from trainer.monitoring.memory import available_bytes
    from trainer.preflight import trial_step
    from trainer.report.layer_table import total_in_words
    from trainer.training.own_code_trial import try_own_code
    from trainer.training.session import add_optimizer, optimizer_variables, session_for
    from trainer.training.steps import check_lengths
    from trainer.training.validation import validations_an_epoch
    from trainer.workers import devices

    global_batch, manifest = config.batch_size, sets[0].manifest
    config = dataclasses.replace(config, batch_size=global_batch // workers)
    name, stages = "model", stages_of(config)
    split = manifest.split(config.data.train_split)
    records = split.triplets or split.images
    an_epoch = config.steps_per_epoch or steps_per_pass(records, global_batch)
    if len(sets) > 1 and not config.steps_per_epoch:
        an_epoch = shares_of(config.data, sets).row(0, records - 1) // global_batch + 1
    try:
        devices.check_replicas(config, strategy.num_replicas_in_sync)
        check_lengths(config, an_epoch)
        epochs, config = config.epochs, last_stage(config)
        built = with_class_weights(config, sets[0].path, manifest, sets[1:])
        session = session_for(built, strategy, manifest, lambda _: None, weights=True)
        for stage in stages if len(stages) > 1 else ():
            body = session.model.get_layer(BACKBONE)
            check_trainable(body, stage.trainable, f"stages[{stage.number}].trainable")
        optimizer = add_optimizer(session, config.epochs * an_epoch)
        weights = _bytes_of(session.model.weights)
        layers = tuple(layer_rows(session.model))
        value = f"{config.model.backbone}, {total_in_words(layers)}"
        if len(stages) > 1:  # whose other stages take less
            value += f" in the last of {len(stages)} stages, which is looked at"
        yield Check(name, OK, value, layers=layers)
        state = weights + _bytes_of(optimizer_variables(optimizer))
        if session.accumulation:
            state += _bytes_of(session.accumulation.variables)
        free = shutil.disk_usage(facts.existing_folder(workdir or ".")).free
        yield checks.disk(state, weights, config.checkpoint.keep, free)
        name, free = "memory", available_bytes()
        # No follower builds for the trial step.
        late = {"data.on_late": REUSE} if config.data.live else {}
        reader, validation = open_readers(with_values(config, late), sets)
        readers = {config.data.train_split: reader, **validation}
        yield checks.memory(
            [
                (split, each.table, each.table_bytes)
                for split, each in readers.items()
                if each.table
            ],
            free,
        )
        name = "own code"
        if tried := try_own_code(session, reader):
            yield Check(name, OK, f"{', '.join(tried)}: traced, and called on a batch")
        name = task_kind(manifest.task).checked
        yield _learnable(name, config, sets, reader, validation)
        name = "step"
        timing, batch = trial_step.training_steps(session, reader)
        yield checks.shapes({key: tuple(value.shape) for key, value in batch.items()})
        wanted, bounds, found = trial_step.pixel_range(session, batch)
        yield checks.pixels(wanted, bounds, found, bool(config.model.pixel_range))
        yield checks.step(timing.losses, timing.moved)
        steps_seconds = timing.step_seconds * an_epoch * epochs
        if (began := process_started()) is not None:
            yield machine_checks.start(timing.first_done - began, steps_seconds)
        every = config.checkpoint.every_steps or an_epoch
        yield _saving(workdir, state, timing.step_seconds, every)
        name, validation_seconds = LAST, 0.0
        for each in validation.values():
            steps = steps_per_pass(each.records, global_batch)
            steps = min(config.validation_steps or steps, steps)
            validation_seconds += steps * trial_step.forward_seconds(session, each)
        validation_seconds *= validations_an_epoch(config.validation, an_epoch)
        yield checks.epoch_time(
            timing.step_seconds,
            timing.wait_seconds,
            an_epoch,
            validation_seconds,
            epochs,
        )
    except UserError as error:
        values = {"model": config.model.backbone, "own code": ", ".join(own_code(config))}
        yield _failed(name, values.get(name, sets[0].path), error)


def _learnable(
    name: str,
    config: Config,
    sets: Sequence[TrainingSet],
    reader: Reader,
    validation: Mapping[str, SetReader],
) -> Check:
    from trainer.data import learnable

    manifest = sets[0].manifest
    found = learnable.census_of_sets(config, sets, reader, validation)
    value = "; ".join(
        learnable.census_in_words(split, each, manifest.classes) for split, each in found.items()
    )
    return checks.learnable(name, value, learnable.warnings(config, manifest, found))


def _failed(name: str, value: str, error: UserError) -> Check:
    return Check(name, FAIL, value, str(error), code=error.exit_code)


def _live(data: DataConfig, of: TrainingSet, workdir: str) -> Check:
    from trainer.data.live import LiveVariants

    try:
        live = LiveVariants(of.path, of.manifest, data.train_split, data.on_late, workdir or "RUN")
    except UserError as error:
        return _failed("variants", of.path, error)
    return checks.live_variants(live.stored, live.follower_at_work(), live.how_to_follow)


def _workdir(path: str, config: Config, sets: Sequence[TrainingSet]) -> Check:
    problem = facts.write_problem(path) if path else ""
    goes_on, changed = (
        facts.run_difference(path, config, sets[0].manifest, sets)
        if path and not problem
        else (False, "")
    )
    return checks.workdir(path, problem, changed, goes_on)


def _saving(workdir: str, state_bytes: int, step_seconds: float, every: int) -> Check:
    folder = facts.existing_folder(workdir or ".")
    try:
        seconds = facts.save_seconds(folder, state_bytes)
    except OSError as error:
        return Check("saving", WARNING, f"'{folder}' cannot be written: {error.strerror}")
    return machine_checks.saving(seconds, state_bytes, step_seconds, every)


def _throttled() -> float | None:
    limit = throttling()
    return limit.held_back / limit.periods if limit else None


def _hub(backbone: str) -> Check:
    problem = ""
    if backbone.startswith("hub:"):
        from trainer.models.hub import locate

        try:
            locate(backbone.removeprefix("hub:"))
        except ConfigError as error:
            problem = str(error)
    return checks.hub(backbone, problem)


def _gpus(config: Config) -> Check:
    import tensorflow as tf

    from trainer.workers.devices import NVIDIA_GPUS

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


def _bytes_of(variables: list[tf.Variable]) -> int:
    return sum(int(v.shape.num_elements() or 0) * v.dtype.size for v in variables)
