"""`trainer train` from its parts: dataset, session, loop, report."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Sequence

import tensorflow as tf

from preprocess.shell.json_text import JsonObject
from trainer.compat.grpc_proxy import proxy_note
from trainer.config import Config, earlier_config, with_values
from trainer.config.best_metric import with_best_metric
from trainer.config.own_code import sources
from trainer.data.class_weights import with_class_weights
from trainer.data.learnable import check_learnable
from trainer.data.reader import open_readers
from trainer.data.recorded import recorded_targets
from trainer.data.sets import TrainingSet, open_sets, sets_in_words
from trainer.inference.finished_run import start_log, write_report
from trainer.monitoring.capture_requests import CaptureInbox
from trainer.monitoring.gpu_monitor import GpuMonitor
from trainer.monitoring.profiling import StepProfiler
from trainer.monitoring.tensorboard_log import TensorBoardLog
from trainer.monitoring.timeline import Activity, Timeline
from trainer.optimizers import build_optimizer
from trainer.training.checkpoints import Checkpoints
from trainer.training.kept_elsewhere import RunRefusesState, as_user_error, kept_elsewhere
from trainer.training.loop import Loop
from trainer.training.opening import devices_in_words, rates_in_words, splits_in_words
from trainer.training.own_code_trial import try_own_code
from trainer.training.progress import FINISHED, failures_marked, mark_ended, unmark_ended
from trainer.training.resuming import check_workers_code
from trainer.training.reused_variants import follow_live_variants
from trainer.training.run_directory import RunDirectory
from trainer.training.run_lock import RunLock, only_training
from trainer.training.run_record import record_of, resumed_record, variants_read
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
    sets: tuple[TrainingSet, ...]
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
    dataset: str | Sequence[str],
    workdir: str,
    say: Callable[[str], None],
    began: float | None = None,
    origin: str = "",
    *,
    strict: bool = False,
) -> JsonObject:
    """Trains a run, or resumes it, and returns the content of report.json.

    A new one starts from the state that `origin` names, as find_origin() takes it; "" = from the
    configuration's own weights.

    With TF_CONFIG, this process is one of several workers; only the first one's report is kept.
    With several datasets, each batch has rows of all of them, in the shares of `data.shares`.
    A process that is there for this training began at `began`, in seconds since 1970. With
    `strict`, the user's own code must be what the run began with, and that of all workers.

    Raises:
      UserError: of many kinds; OutputError where the disk is full, LostPeerError where another
        worker did not come or is lost, RunInUse where another process trains in `workdir`.
      Diverged: the loss or a weight is no longer finite.
    """
    sets = open_sets(config, [dataset] if isinstance(dataset, str) else dataset)
    check_learnable(config, sets[0].manifest)
    cluster = cluster_of_environment()
    rank = cluster.rank if cluster else 0
    shared = RunDirectory(workdir)
    timeline = Timeline(shared.timeline_file(rank), began)
    with contextlib.ExitStack() as held:
        lock = None
        if rank == 0:
            shared.make()
            lock = held.enter_context(only_training(shared, say))
            unmark_ended(shared.progress_file)
            marked = failures_marked(shared.progress_file, lambda: timeline.has_stepped)
            held.enter_context(marked)
        log = held.enter_context(WorkerLog(shared.logs, rank, say))
        held.enter_context(timeline)

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
                    sets,
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
    sets, cluster, log = start.sets, start.cluster, start.log
    before = resumed_record(
        start.shared, start.config, sets, start.origin, log.say, strict=start.strict
    )
    config = with_best_metric(start.config, before and before["config"])
    if before and (targets := recorded_targets(before["dataset"])):
        # The mean may have moved with pictures that were refused: what was learned by stays.
        known = dataclasses.replace(sets[0].manifest, targets=targets)
        sets = (dataclasses.replace(sets[0], manifest=known), *sets[1:])
    manifest = sets[0].manifest
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
    built = with_class_weights(with_values(config, first), sets[0].path, manifest, sets[1:])
    session = session_for(built, strategy, manifest, log.say, weights=before is None)
    session = dataclasses.replace(session, config=config)
    build_optimizer(config.optimizer, total_steps=0)
    check_workers_code(sources(config), workers, log.say, strict=start.strict)
    # Variants that were added since are not read: a run continues with what it started with.
    reader, validation = open_readers(
        config, sets, variants_read(config.data, sets, before, log.say), workers.in_this_memory
    )
    if reader.live:
        resumed = before is not None
        follow_live_variants(reader.live, start.shared, log.say, workers, resumed=resumed)
    log.say(devices_in_words(config, strategy, reader))
    for line in sets_in_words(config.data, sets):
        log.say(line)
    start.watchdog.alive("trying your own code", long=True)
    if tried := try_own_code(session, reader):
        log.say(f"own code tried on a batch: {', '.join(tried)}")
    if workers.chief:
        for line in splits_in_words(config, sets, reader, validation):
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
        sets=sets,
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


def _train(run: Run, origin: Origin | None) -> JsonObject:
    """Trains from the newest saved state on, and reports into the run's directory."""
    workers = run.workers
    try:
        loop = Loop(run)
        before = run.directory.read_config() if run.directory.config_file.exists() else {}
        # Only now: a run that could not even be built does not bind the next one to its mistakes.
        record = record_of(run, before, origin)
        run.directory.write_config(record)
        timeline = run.monitors.timeline
        timeline.enter(Activity.RESTORE)
        if origin:
            taken = take_optimizer(run.session, origin)
            run.say(f"starting from step {origin.step} of '{origin.run}', {taken}")
        del run  # so that the model of a stage goes when the next one begins
        loop.restore()
        timeline.stepped(loop.steps.done)
        earlier = loop.run.config
        if "config" in before:
            earlier = earlier_config(before["config"], earlier)
        for line in rates_in_words(loop.run, loop.steps, earlier):
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
                with contextlib.closing(refused):
                    raise kept_elsewhere(loop.run, record, refused) from refused
            timeline.enter(Activity.REPORT)
            loop.run.monitors.watchdog.alive("writing the report", long=True)
            with loop.run.session.averages.in_place():
                report = write_report(loop.run, loop, log)
            if progress_file := loop.run.monitors.progress_file:
                mark_ended(progress_file, FINISHED)
    except SystemExit:  # saved after a signal
        workers.leave()
        raise
    workers.leave()
    return report
