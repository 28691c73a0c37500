"""A diagnosis from its parts, and again after a change."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import tensorflow as tf

from preprocess.dataset_format import Manifest
from trainer.bottleneck.bottleneck import Advice, Bottleneck
from trainer.bottleneck.phases.diagnosis_facts import Facts
from trainer.bottleneck.phases.gather_cost import gather_cost
from trainer.bottleneck.phases.measurements import Measurements
from trainer.bottleneck.phases.phase_rules import phase_advice
from trainer.bottleneck.phases.phase_runner import ROUNDS, SECONDS, measure
from trainer.bottleneck.phases.phase_verdict import phase_verdict
from trainer.bottleneck.phases.step_model import Cost, StepModel, fit
from trainer.config import Config, Value, with_changes, with_values
from trainer.config.running_sections import REUSE
from trainer.data.class_weights import with_class_weights
from trainer.data.dataset import check_fits, load_manifest
from trainer.data.reader import Reader, open_reader
from trainer.data.table import TABLES_AT_ONCE
from trainer.data.table_memory import TableMemory
from trainer.training.session import session_for
from trainer.workers import devices, signals
from trainer.workers.barrier import wait_for_peers
from trainer.workers.cluster import cluster_of_environment
from trainer.workers.worker_group import WorkerGroup


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What was measured, and what follows from it."""

    measured: Measurements
    model: StepModel
    bottleneck: Bottleneck

    @property
    def speed(self) -> float:
        """Images per second of training as it is."""
        return self.model.pictures_a_step / self.model.full


@dataclasses.dataclass(frozen=True)
class Applied:
    """A change that was made, and the diagnosis after it."""

    advice: Advice
    after: Diagnosis


class Diagnoser:
    """Diagnoses configurations of one dataset, on the devices of the first of them.

    Attributes:
      chief: whether this process reports.
    """

    def __init__(
        self,
        config: Config,
        data: str,
        say: Callable[[str], None],
        rounds: int = ROUNDS,
        seconds: float = SECONDS,
    ) -> None:
        """Takes the first configuration, the dataset, and how measure() is to measure."""
        config = _without_reports(config)
        self._data, self._say = data, say
        self._rounds, self._seconds = rounds, seconds
        self._manifest: Manifest = load_manifest(data)
        check_fits(config, self._manifest, data)
        cluster = cluster_of_environment()
        if cluster:
            wait_for_peers(cluster, config.watchdog.start_seconds, say)
        self._strategy = devices.prepare(config, say, cluster)
        if cluster:  # TensorFlow has just put a handler of its own there, which does nothing
            signals.leave_on_sigterm(say, "stopped")
        devices.check_replicas(config, self._strategy.num_replicas_in_sync)
        self._workers = WorkerGroup(cluster, self._strategy)
        self.chief = self._workers.chief

    def diagnose(self, config: Config) -> Diagnosis:
        """Measures a configuration.

        Raises:
          UserError: of many kinds, as training would.
        """
        config = _without_reports(config)
        tf.keras.backend.clear_session()
        built = with_class_weights(config, self._data, self._manifest)
        session = session_for(built, self._strategy, self._manifest, self._say, weights=False)
        memory = TableMemory(self._workers.in_this_memory)
        reader = open_reader(
            self._data,
            self._manifest,
            config.data.train_split,
            config,
            training=True,
            memory=memory,
        )
        measured = measure(session, reader, self._workers, self._say, self._rounds, self._seconds)
        model = fit(measured)
        facts = _facts(config, self._manifest, reader, memory)
        advice = phase_advice(facts, model, measured)
        return Diagnosis(measured, model, phase_verdict(model, measured, advice))

    def apply(self, config: Config, before: Diagnosis) -> tuple[Config, Applied] | None:
        """Makes the first change that leaves what is learned as it is; worker 0 chooses it.

        Returns:
          The changed configuration and what it brought; None if there is no such change.

        Raises:
          UserError: the changed configuration cannot be trained.
        """
        able = [one for one in before.bottleneck.advice if one.change and one.same_training]
        # On another worker the same change may not have been worth an advice.
        first = json.dumps([able[0].remedy, able[0].values]) if able else ""
        chosen = self._workers.broadcast(first)
        if not chosen:
            return None
        remedy, values = json.loads(chosen)
        advice = able[0] if able and first == chosen else Advice(remedy, values)
        changed = with_changes(_without_reports(config), advice.change)
        return changed, Applied(advice, self.diagnose(changed))

    def leave(self) -> None:
        """The end, for all workers."""
        self._workers.leave()


def _without_reports(config: Config) -> Config:
    """A copy; what reports, saves or validates is no part of a step."""
    without: dict[str, Value] = {
        "profile.steps": (),
        "checkpoint.every_steps": 0,
        "data.validation_splits": (),
    }
    if config.data.live:  # no follower builds for a measurement
        without["data.on_late"] = REUSE
    return with_values(config, without)


def _facts(config: Config, manifest: Manifest, reader: Reader, memory: TableMemory) -> Facts:
    height, width, channels = reader.picture_shape
    split = manifest.split(config.data.train_split)
    variants = config.data.stored_variants(split.variants)
    if config.data.live:  # each pass has another one
        variants = max(2, variants)
    shards = split.image_shards(0)
    pictures, stored_bytes = sum(s.records for s in shards), sum(s.bytes for s in shards)
    encoded = manifest.image.encoding != "raw"
    gather = Cost()
    if not reader.table:
        gather = gather_cost(pictures, reader.picture_shape, config.batch_size)
    needed = pictures * height * width * channels * TABLES_AT_ONCE[variants > 1]
    augment, stored = config.augment, max(manifest.image.height or 0, manifest.image.width or 0)
    used = config.image_size
    if augment.enabled:  # a crop comes out of the whole picture, which must not become smaller
        used = augment.resize_to or (stored if augment.crop else used)
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capabilities = [device.get("compute_capability", (0, 0)) for device in details]
    uses = reader.records * reader.pictures_a_record
    return Facts(
        table=reader.table,
        shards=len(shards),
        table_fits=needed <= memory.left_bytes,
        decoded_share=pictures / uses if variants > 1 else 0.0,
        raw_growth=height * width * channels * pictures / stored_bytes if encoded else 0.0,
        stored_side=stored,
        used_side=used,
        gather=gather,
        parallel_reads=config.data.parallel_reads,
        steps_per_execution=config.steps_per_execution,
        batch_size=config.batch_size,
        steps_per_epoch=config.steps_per_epoch or reader.steps_per_pass,
        augment=bool(augment.enabled),
        gpu_capability=min((float(f"{a}.{b}") for a, b in capabilities), default=0.0),
        precision=config.precision,
    )
