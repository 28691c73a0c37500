"""`trainer train` from its parts: dataset, session, loop, report."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable

import tensorflow as tf

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from trainer.compat.grpc_proxy import proxy_note
from trainer.config import Config, differences, to_dict, with_values
from trainer.config.own_code import sources
from trainer.data.class_weights import with_class_weights
from trainer.data.dataset import check_fits, digest_for, load_manifest, what_it_reads
from trainer.data.learnable import check_learnable
from trainer.data.reader import Reader, open_reader
from trainer.data.recorded import record_of_targets, recorded_targets
from trainer.data.service import GUARANTEE as SERVICE_GUARANTEE
from trainer.data.storage import absolute
from trainer.inference.finished_run import start_log, write_report
from trainer.monitoring.capture_requests import CaptureInbox
from trainer.monitoring.gpu_monitor import GpuMonitor
from trainer.monitoring.profiling import StepProfiler
from trainer.monitoring.tensorboard_log import TensorBoardLog
from trainer.monitoring.timeline import Activity, Timeline
from trainer.optimizers import build_optimizer
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.kept_elsewhere import RunRefusesState, as_user_error, kept_elsewhere
from trainer.training.loop import Loop
from trainer.training.opening import rates_in_words, splits_in_words
from trainer.training.own_code_trial import try_own_code
from trainer.training.resuming import check_same_code, check_workers_code, other_tensorflow
from trainer.training.run_directory import RunDirectory, versions
from trainer.training.run_lock import RunLock, only_training
from trainer.training.session import session_for
from trainer.training.starting_from import Origin, find_origin, take_optimizer
from trainer.training.training_run import Monitors, Run
from trainer.workers import devices, signals
from trainer.workers.barrier import wait_for_peers
from trainer.workers.cluster import Cluster, cluster_of_environment
from trainer.workers.watchdog import Watchdog
from trainer.workers.worker_group import WorkerGroup
from trainer.workers.worker_log import WorkerLog


@dataclasses.dataclass(frozen=True)
class _Start:
    """What is known of a training before TensorFlow is asked for anything."""

    config: Config
    dataset: str
    manifest: Manifest
    shared: RunDirectory
    lock: RunLock | None  # of the worker that writes
    cluster: Cluster | None
    log: WorkerLog
    watchdog: Watchdog
    timeline: Timeline
    origin: str
    strict: bool


def train(
    config: Config,
    dataset: str,
    workdir: str,
    say: Callable[[str], None],
    started: float | None = None,
    origin: str = "",
    *,
    strict: bool = False,
) -> JsonObject:
    """Trains a run, or resumes it, and returns the content of report.json.

    A new one starts from the state that `origin` names, as find_origin() takes it; "" = from the
    configuration's own weights.

    With TF_CONFIG, this process is one of several workers; only the first one's report is kept.
    `started` is when the process began, in seconds since 1970, where it began for this training.
    With `strict`, the user's own code must be what the run began with, and that of all workers.

    Raises:
      UserError: of many kinds; OutputError where the disk is full, LostPeerError where another
        worker did not come or is lost, RunInUse where another process trains in `workdir`.
      Diverged: the loss or a weight is no longer finite.
    """
    manifest = load_manifest(dataset)
    check_fits(config, manifest, dataset)
    check_learnable(config, manifest)
    cluster = cluster_of_environment()
    rank = cluster.rank if cluster else 0
    shared = RunDirectory(workdir)
    with contextlib.ExitStack() as held:
        lock = None
        if rank == 0:
            shared.make()
            lock = held.enter_context(only_training(shared, say))
        log = held.enter_context(WorkerLog(shared.logs, rank, say))
        timeline = held.enter_context(Timeline(shared.timeline_file(rank), started))

        def on_timeout(message: str) -> None:
            log.announce(message + proxy_note())
            log.stacks()
            if lock:  # it is about to end, not to be waited for by the next one
                lock.release()

        try:
            if cluster:
                timeline.enter(Activity.PEERS)
                wait_for_peers(cluster, config.watchdog.start_seconds, log.announce)
                log.announce(f"{cluster.name(rank)} of {cluster.size}: all are there")
            seconds = config.watchdog.seconds if cluster else 0
            with Watchdog(seconds, on_timeout) as watchdog, contextlib.ExitStack() as stack:
                timeline.enter(Activity.BUILD)
                start = _Start(
                    config,
                    dataset,
                    manifest,
                    shared,
                    lock,
                    cluster,
                    log,
                    watchdog,
                    timeline,
                    origin,
                    strict,
                )
                return _train(*_run_of(start, stack))
        except (OSError, tf.errors.OpError) as error:
            user_error = as_user_error(error, workdir, cluster is not None)
            if user_error is None:
                raise
            raise user_error from error


def _run_of(start: _Start, stack: contextlib.ExitStack) -> tuple[Run, Origin | None]:
    """Everything of the run, built; `stack` closes what has to be closed at its end.

    The state to start from is found, and its weights are taken, where the run is new and has one.
    """
    config, manifest, cluster, log = start.config, start.manifest, start.cluster, start.log
    before = _resumed(start)
    if before and (targets := recorded_targets(before["dataset"])):
        # The mean may have moved with pictures that were refused: what was learned by stays.
        manifest = dataclasses.replace(manifest, targets=targets)
    origin = find_origin(start.origin) if start.origin and before is None else None
    rank, size = (cluster.rank, cluster.size) if cluster else (0, 1)
    inbox = CaptureInbox(start.shared.path, rank, size)
    profiler = StepProfiler(start.shared.traces(rank), log.announce, inbox)
    stack.callback(profiler.end)
    start.watchdog.alive("joining the other workers", within=config.watchdog.start_seconds)
    strategy = devices.prepare(config, log.say, cluster)
    if config.debug.eager:
        tf.config.run_functions_eagerly(True)
        stack.callback(tf.config.run_functions_eagerly, False)
    start.watchdog.alive("building the model", long=True)
    if cluster:  # TensorFlow has just put a handler of its own there, which does nothing
        signals.leave_on_sigterm(log.announce)
        if config.virtual_replicas:
            log.say(
                f"virtual_replicas={config.virtual_replicas} is ignored: each worker has one "
                "replica for each GPU, or a single one"
            )
    workers = WorkerGroup(cluster, strategy)
    devices.check_replicas(config, strategy.num_replicas_in_sync)
    # Model and optimizer first: a name that does not exist is found before anything is read.
    # The state of a run that resumes brings the weights: where they came from may be gone.
    first = {"model.weights": str(origin.state)} if origin else {}
    built = with_class_weights(with_values(config, first), start.dataset, manifest)
    session = session_for(built, strategy, manifest, log.say, weights=before is None)
    session = dataclasses.replace(session, config=config)
    build_optimizer(config.optimizer, total_steps=0)
    check_workers_code(sources(config), workers, log.say, strict=start.strict)
    # Variants that were added since are not read: a run continues with what it started with.
    reads = before["dataset"] if before else what_it_reads(config, manifest)
    if variants := reads.get("variants"):
        if variants < manifest.split(config.data.train_split).variants and not config.data.variants:
            log.say(f"the dataset has more variants now; this run keeps using its {variants}")
        read_as = with_values(config, {"data.variants": variants})
    else:
        read_as = config
    reader, validation = open_readers(read_as, start.dataset, manifest)
    log.say(_opening(config, strategy, reader))
    start.watchdog.alive("trying your own code", long=True)
    if tried := try_own_code(session, reader):
        log.say(f"own code tried on a batch: {', '.join(tried)}")
    if workers.chief:
        readers = {config.data.train_split: reader, **validation}
        for line in splits_in_words(config, start.dataset, manifest, readers):
            log.say(line)
    directory = start.shared
    if not workers.chief:
        # Measuring and reporting take every worker's part in their collectives, so the others
        # do all of it too, but into a folder that goes away.
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="worker-"))
        directory = RunDirectory(scratch)
    gpus = stack.enter_context(GpuMonitor(log.say if devices.gpus_of(strategy) else None))
    progress_file = directory.progress_file if workers.chief else None
    run = Run(
        session=session,
        reader=reader,
        workers=workers,
        signals=signals.StopSignals(log.say),
        monitors=Monitors(start.watchdog, profiler, gpus, start.timeline, progress_file),
        validation=validation,
        dataset=start.dataset,
        manifest=manifest,
        directory=directory,
        checkpoints=Checkpoints(
            start.shared.checkpoints,
            config.checkpoint.keep,
            workers,
            start.lock.check if start.lock else lambda: None,
        ),
        say=log.say,
    )
    return run, origin


def _resumed(start: _Start) -> JsonObject | None:
    """The content of config.json of a run with a saved state to resume from; None = a new run.

    Raises:
      ConfigError: it was trained with another configuration, on another dataset, or from another
        state.
    """
    if not Checkpoints(start.shared.checkpoints).states(LAST):
        return None
    record = start.shared.read_config()
    before = record["config"]
    digest = digest_for(record["dataset"], start.config, start.manifest)
    start.shared.check_same(differences(before, to_dict(start.config)), digest)
    started_from = (record.get("from") or {}).get("given", "")
    if start.origin and start.origin != started_from:
        raise ConfigError(
            f"--from={start.origin}: '{start.shared.path}' already has saved states"
            + (f", and started from {started_from}" if started_from else "")
            + "; omit --from to resume it, or set another --workdir"
        )
    now = start.config.distribute.all_reduce
    how = before.get("distribute", {}).get("all_reduce", now)
    if how != now:
        start.log.say(
            f"warning: gradients were summed by {how}, and now by {now}: the last bits of weights "
            "may differ"
        )
    check_same_code(record.get("references"), sources(start.config), start.log.say, start.strict)
    if warning := other_tensorflow(record["versions"]["tensorflow"]):
        start.log.say(warning)
    return record


def _train(run: Run, origin: Origin | None) -> JsonObject:
    """Trains from the newest saved state on, and reports into the run's directory."""
    workers = run.workers
    try:
        loop = Loop(run)
        before = run.directory.read_config() if run.directory.config_file.exists() else {}
        # Only now: a run that could not even be built does not bind the next one to its mistakes.
        record = _record(run, before, origin)
        run.directory.write_config(record)
        timeline = run.monitors.timeline
        timeline.enter(Activity.RESTORE)
        if origin:
            taken = take_optimizer(run.session, origin)
            run.say(f"starting from step {origin.step} of '{origin.run}', {taken}")
        del run  # so that the model of a stage goes when the next one begins
        loop.restore()
        timeline.stepped(loop.steps.done)
        epochs = before.get("config", {}).get("epochs", loop.run.config.epochs)
        for line in rates_in_words(loop.run, loop.steps, epochs):
            loop.run.say(line)
        with TensorBoardLog(
            str(loop.run.directory.tensorboard),
            resume_step=loop.steps.done,
            histograms=loop.run.config.tensorboard.histograms,
        ) as log:
            timeline.enter(Activity.CALLBACKS)
            start_log(log, loop.run, loop.steps.done)
            try:
                loop.train(log)
            except RunRefusesState as refused:
                raise kept_elsewhere(loop.run, record, refused) from refused
            timeline.enter(Activity.REPORT)
            loop.run.monitors.watchdog.alive("writing the report", long=True)
            with loop.run.session.averages.in_place():
                report = write_report(loop.run, loop, log)
    except SystemExit:  # saved after a signal
        workers.leave()
        raise
    workers.leave()
    return report


def _record(run: Run, before: JsonObject, origin: Origin | None) -> JsonObject:
    """The content of config.json; `before` is what it was, {} for a new run."""
    manifest = run.manifest
    resumed = bool(run.checkpoints.states(LAST)) and before
    reads = what_it_reads(run.config, manifest)
    if resumed:
        reads = {key: before["dataset"][key] for key in reads if key in before["dataset"]}
    started_from = before.get("from") if resumed else origin and origin.record()
    return {
        "config": to_dict(run.config),
        "versions": versions(),
        "dataset": {
            "path": absolute(run.dataset),
            "digest": manifest.digest,
            **reads,
            "task": manifest.task,
            "classes": list(manifest.classes),
            **record_of_targets(manifest.targets),
            "height": manifest.image.height,
            "width": manifest.image.width,
            "resize_mode": manifest.image.resize_mode,
        },
        **({"from": started_from} if started_from else {}),
        **({"references": used} if (used := sources(run.config)) else {}),
    }


def open_readers(
    config: Config, dataset: str, manifest: Manifest
) -> tuple[Reader, dict[str, Reader]]:
    """The readers of training and of each validation split, which share the memory there is."""
    reader = open_reader(dataset, manifest, config.data.train_split, config, training=True)
    reserved = reader.table_bytes
    validation: dict[str, Reader] = {}
    for name in config.data.validation_splits:
        validation[name] = open_reader(
            dataset, manifest, name, config, training=False, reserved_bytes=reserved
        )
        reserved += validation[name].table_bytes
    return reader, validation


def _opening(config: Config, strategy: tf.distribute.Strategy, reader: Reader) -> str:
    return (
        f"{config.model.backbone} on {devices.describe(strategy)}: {reader.records} records, "
        f"{reader.steps_per_pass} steps a pass of {config.batch_size}"
        + (
            f", {reader.pictures_in_table} pictures {reader.table} in memory"
            if reader.table
            else ""
        )
        + (f"; {SERVICE_GUARANTEE.format(config.data.service)}" if config.data.service else "")
    )
