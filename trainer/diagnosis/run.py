"""A diagnosis from its parts, and again after a change."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from preprocess.dataset_format import Manifest
from trainer import devices, signals
from trainer.barrier import wait_for_peers
from trainer.cluster import cluster_of_environment
from trainer.config import with_changes
from trainer.crew import Crew
from trainer.dataset import check_fits, load_manifest
from trainer.diagnosis.advice import Advice, Facts
from trainer.diagnosis.gather import gather_cost
from trainer.diagnosis.measure import ROUNDS, SECONDS, measure
from trainer.diagnosis.measurements import Measurements
from trainer.diagnosis.rules import advise
from trainer.diagnosis.step_model import Cost, StepModel, fit
from trainer.memory import available_bytes
from trainer.reader import Reader, open_reader
from trainer.reader.table import MEMORY_SHARE, TABLES_AT_ONCE
from trainer.session import session_for


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What was measured, and what follows from it."""

    found: Measurements
    model: StepModel
    advice: list[Advice]

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
        config: Any,
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
        self._crew = Crew(cluster, self._strategy)
        self.chief = self._crew.chief

    def diagnose(self, config: Any) -> Diagnosis:
        """Measures a configuration.

        Raises:
          UserError: of many kinds, as training would.
        """
        config = _without_reports(config)
        tf.keras.backend.clear_session()
        session = session_for(config, self._strategy, self._manifest, self._say, weights=False)
        reader = open_reader(
            self._data, self._manifest, config.data.train_split, config, training=True
        )
        found = measure(session, reader, self._crew, self._say, self._rounds, self._seconds)
        model = fit(found)
        return Diagnosis(found, model, advise(_facts(config, self._manifest, reader), model, found))

    def apply(self, config: Any, before: Diagnosis) -> tuple[Any, Applied] | None:
        """Makes the first change that leaves what is learned as it is; worker 0 says which.

        Returns:
          The changed configuration and what it brought; None where there is no such change.

        Raises:
          UserError: the changed configuration cannot be trained.
        """
        able = [each for each in before.advice if each.change and each.same_training]
        said = self._crew.of_chief(json.dumps(dict(able[0].change)) if able else "")
        if not said:
            return None
        change: dict[str, str] = json.loads(said)
        changed = with_changes(_without_reports(config), change)
        # On another worker the same change may not have been worth an advice.
        advice = able[0] if able else Advice("", "", change=change)
        return changed, Applied(advice, self.diagnose(changed))

    def leave(self) -> None:
        """The end, for all workers."""
        self._crew.leave()


def _without_reports(config: Any) -> Any:
    """A copy; what reports, saves or validates is no part of a step."""
    copy = config.copy_and_resolve_references()
    copy.profile.steps = ()
    copy.checkpoint.every_steps = 0
    copy.data.validation_splits = ()
    return copy


def _facts(config: Any, manifest: Manifest, reader: Reader) -> Facts:
    height, width, channels = reader.picture_shape
    split = manifest.split(config.data.train_split)
    variants = min(config.data.variants or split.variants, split.variants)
    shards = split.image_shards(0)
    pictures, stored_bytes = sum(s.records for s in shards), sum(s.bytes for s in shards)
    encoded = manifest.image.encoding != "raw"
    gather = Cost()
    if not reader.table and not config.data.service:
        gather = gather_cost(pictures, reader.picture_shape, config.batch_size)
    needed = pictures * height * width * channels * TABLES_AT_ONCE[variants > 1]
    augment, stored = config.augment, max(manifest.image.height or 0, manifest.image.width or 0)
    used = config.image_size
    if augment.enabled:  # a crop comes out of the whole picture, which must not become smaller
        used = augment.resize_to or (stored if augment.crop else used)
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capabilities = [each.get("compute_capability", (0, 0)) for each in details]
    uses = reader.records * reader.pictures_a_record
    return Facts(
        task=manifest.task,
        table=reader.table,
        shards=len(shards),
        table_fits=needed <= available_bytes() * MEMORY_SHARE,
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
        deterministic=config.deterministic,
        service=bool(config.data.service),
        gpu_capability=min((float(f"{a}.{b}") for a, b in capabilities), default=0.0),
        precision=config.precision,
    )
