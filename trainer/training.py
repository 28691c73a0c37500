"""`trainer train` from its parts: dataset, session, loop, report."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from preprocess.dataset_format import Manifest
from trainer import devices, signals
from trainer.barrier import wait_for_peers
from trainer.capture import capture_server
from trainer.checkpoints import LAST, Checkpoints
from trainer.cluster import Cluster, cluster_of_environment
from trainer.config import differences, to_dict
from trainer.crew import Crew, lost_peer
from trainer.dataset import check_fits, load_manifest
from trainer.errors import OutputError, UserError, full_disk
from trainer.gpu_monitor import GpuMonitor
from trainer.loop import Loop
from trainer.optimizers import build_optimizer
from trainer.profiling import StepProfiler
from trainer.reader import Reader, open_reader
from trainer.reader.service import GUARANTEE as SERVICE_GUARANTEE
from trainer.reader.storage import absolute
from trainer.reporting import start_log, write_report
from trainer.run_directory import RunDirectory, versions
from trainer.session import Session, session_for
from trainer.tensorboard import TensorBoardLog
from trainer.watchdog import Watchdog
from trainer.worker_log import WorkerLog


def train(config: Any, dataset: str, workdir: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Trains a run, or goes on with it, and returns the content of report.json.

    With TF_CONFIG, this process is one of several workers; only the first one's report is kept.

    Raises:
      UserError: of many kinds; OutputError where the disk is full, RestartError where another
        worker did not come or is lost.
      Diverged: the loss or a weight is no longer finite.
    """
    manifest = load_manifest(dataset)
    check_fits(config, manifest, dataset)
    cluster = cluster_of_environment()
    rank = cluster.rank if cluster else 0
    shared = RunDirectory(workdir)
    if rank == 0:
        shared.make()
    with WorkerLog(shared.logs, rank, say) as log:
        try:
            if cluster:
                wait_for_peers(cluster, config.watchdog.start_seconds, log.announce)
                log.announce(f"{cluster.name(rank)} of {cluster.size}: all are there")
            seconds = config.watchdog.seconds if cluster else 0

            def bark(message: str) -> None:
                log.announce(message)
                log.stacks()

            with Watchdog(seconds, bark) as watchdog:
                return _train(config, dataset, manifest, shared, cluster, log, watchdog)
        except (OSError, tf.errors.OpError) as error:
            found = _in_words(error, workdir, cluster)
            if found is None:
                raise
            raise found from error


def _in_words(error: Exception, workdir: str, cluster: Cluster | None) -> UserError | None:
    """The user's error that one of the system or of TensorFlow stands for, if any."""
    words = full_disk(error)
    if words is not None:
        return OutputError(
            f"{words}: '{workdir}'; make room and run the same command: what was saved before is "
            "kept, and it goes on from there"
        )
    return lost_peer(error) if cluster else None


def _train(
    config: Any,
    dataset: str,
    manifest: Manifest,
    shared: RunDirectory,
    cluster: Cluster | None,
    log: WorkerLog,
    watchdog: Watchdog,
) -> dict[str, Any]:
    goes_on = bool(Checkpoints(shared.checkpoints).states(LAST))
    if goes_on:
        before = shared.read_config()["config"]
        shared.check_same(differences(before, to_dict(config)), manifest.digest)
        how = before.get("distribute", {}).get("all_reduce", config.distribute.all_reduce)
        if how != config.distribute.all_reduce:
            log.say(
                f"warning: gradients were summed by {how} and are by "
                f"{config.distribute.all_reduce} now: the last bits of weights may differ"
            )
    with contextlib.ExitStack() as stack:
        # Early: a port that is taken should not come out after minutes.
        rank = cluster.rank if cluster else 0
        profiler = StepProfiler(shared.traces(rank), log.announce)
        if server := capture_server(config, rank, profiler, log.announce):
            stack.enter_context(server)
        watchdog.alive("joining the other workers", within=config.watchdog.start_seconds)
        strategy = devices.prepare(config, log.say, cluster)
        watchdog.alive("building the model", long=True)
        if cluster:  # TensorFlow has just put a handler of its own there, which does nothing
            signals.leave_on_sigterm(log.announce)
            if config.virtual_replicas:
                log.say(
                    f"virtual_replicas={config.virtual_replicas} is left out: each worker has a "
                    "replica a GPU, or one"
                )
        crew = Crew(cluster, strategy)
        devices.check_replicas(config, strategy.num_replicas_in_sync)
        # Model and optimizer first: a name that does not exist is found before anything is read.
        # The state of a run that goes on brings the weights: where they came from may be gone.
        session = session_for(config, strategy, manifest, log.say, weights=not goes_on)
        build_optimizer(config.optimizer, total_steps=1)
        reader, validation = open_readers(config, dataset, manifest)
        log.say(_opening(config, strategy, reader))
        directory = shared
        if not crew.chief:
            # Measuring and reporting take every worker's part in their collectives, so the others
            # do all of it too, but into a folder that goes away.
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="worker-"))
            directory = RunDirectory(scratch)
        loop = Loop(
            session,
            reader,
            validation,
            manifest.classes,
            directory,
            Checkpoints(shared.checkpoints, config.checkpoint.keep, crew),
            log.say,
            crew,
            watchdog,
            profiler,
            stack.enter_context(GpuMonitor(log.say if devices.gpus_of(strategy) else None)),
        )
        try:
            report = _run(loop, session, reader, validation, manifest, directory, dataset, watchdog)
        except SystemExit:  # saved after a signal
            crew.leave()
            raise
        crew.leave()
        return report


def _run(
    loop: Loop,
    session: Session,
    reader: Reader,
    validation: dict[str, Reader],
    manifest: Manifest,
    directory: RunDirectory,
    dataset: str,
    watchdog: Watchdog,
) -> dict[str, Any]:
    """Trains and reports into `directory`, from the newest saved state on."""
    config = session.config
    # Only now: a run that could not even be built does not bind the next one to its mistakes.
    directory.write_config(
        {
            "config": to_dict(config),
            "versions": versions(),
            "dataset": {
                "path": absolute(dataset),
                "digest": manifest.digest,
                "task": manifest.task,
                "classes": list(manifest.classes),
                "height": manifest.image.height,
                "width": manifest.image.width,
                "resize_mode": manifest.image.resize_mode,
            },
        }
    )
    loop.restore()
    with TensorBoardLog(
        str(directory.tensorboard),
        resume_step=loop.steps.done,
        histograms=config.tensorboard.histograms,
    ) as log:
        start_log(log, session, reader, loop.steps.done)
        loop.run(log)
        watchdog.alive("writing the report", long=True)
        return write_report(session, loop, reader, validation, manifest.classes, directory, log)


def open_readers(config: Any, dataset: str, manifest: Manifest) -> tuple[Reader, dict[str, Reader]]:
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


def _opening(config: Any, strategy: Any, reader: Reader) -> str:
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
