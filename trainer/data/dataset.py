"""A dataset directory opened for training: its manifest, and whether it fits the configuration.

Does not import TensorFlow, so that a command can report mistakes before that import.
"""

from __future__ import annotations

from preprocess.dataset_format import DatasetError, Manifest, digest
from preprocess.shell.errors import ConfigError, DataError
from preprocess.shell.json_text import JsonObject
from trainer.config.keys import Config
from trainer.config.running_sections import DataConfig
from trainer.config.task_table import check_same_task
from trainer.monitoring.memory import available_bytes

_FLOAT_BYTES = 4  # of a pixel's channel, at the backbone's input


def load_manifest(dataset: str) -> Manifest:
    """The manifest of a dataset, in a directory or at an address such as gs://...

    Raises:
      DataError: there is no dataset.
      StorageError: the storage does not respond.
    """
    if "://" in dataset:
        from trainer.data.storage import read_manifest  # imports TensorFlow

        return read_manifest(dataset)
    try:
        return Manifest.load(dataset)
    except DatasetError as error:
        raise DataError(str(error)) from None


def what_it_reads(data: DataConfig, manifest: Manifest, variants: int = 0) -> JsonObject:
    """What a run reads of a dataset, for config.json.

    Args:
      data: that section of the run's configuration.
      manifest: of the dataset.
      variants: of the training split; 0 = those that the configuration selects.

    Returns:
      `variants`, and `reads`: a digest of the files that the run reads, ignoring all others.
    """
    train = manifest.split(data.train_split)
    variants = variants or data.stored_variants(train.variants)
    used = [
        (shard.file, shard.sha256)
        for name in (data.train_split, *data.validation_splits)
        for shard in manifest.split(name).shards
        if shard.variant < (variants if name == data.train_split else 1)
    ]
    return {"variants": variants, "reads": digest([*{*used}])}


def digest_for(record: JsonObject, data: DataConfig, manifest: Manifest) -> str:
    """The dataset digest to compare for a resumed run: the one it was started with, if everything
    that the run reads is unchanged.

    Args:
      record: `dataset` of the run's config.json.
      data: that section of the run's configuration.
      manifest: of the dataset.
    """
    before = record.get("reads")
    if before and before == what_it_reads(data, manifest, record["variants"])["reads"]:
        return str(record["digest"])
    return manifest.digest


def check_fits(config: Config, manifest: Manifest, dataset: str) -> None:
    """Raises ConfigError if the dataset is for another task or lacks a split, if the pictures of
    one batch do not fit into memory, or if a crop is larger than a picture.
    """
    _check_memory(config, available_bytes())
    check_same_task(config.task, manifest.task, f"'{dataset}'")
    _check_crop(config, manifest)
    for name in (config.data.train_split, *config.data.validation_splits):
        if name not in manifest.splits:
            raise ConfigError(
                f"no split '{name}' in '{dataset}', it has {', '.join(manifest.splits)}; set "
                "--config.data.validation_splits=NAME, or build with --validation_fraction=0.1"
            )


def _check_crop(config: Config, manifest: Manifest) -> None:
    """The layer refuses it too, but only once it is traced, after much else has been logged."""
    augment, height, width = config.augment, manifest.image.height, manifest.image.width
    if not augment.enabled or augment.resize_to:
        return
    if height is None or width is None:  # of several sizes: they are stretched to this one
        height = width = config.image_size
    if augment.crop > min(height, width):
        raise ConfigError(
            f"augment.crop={augment.crop} does not fit into pictures of {height}x{width}: "
            "lower it, or set augment.resize_to to at least as much"
        )


def _check_memory(config: Config, available: int) -> None:
    augment = config.augment
    name, side = max(
        ("image_size", config.image_size),
        ("augment.resize_to", augment.resize_to if augment.enabled else 0),
        key=lambda named: named[1],
    )
    needed = config.batch_size * side**2 * config.model.channels * _FLOAT_BYTES
    if needed > available:
        raise ConfigError(
            f"batch_size={config.batch_size} pictures of {side}x{side} ({name}) take "
            f"{needed / 1e9:.3g} GB before any layer, {available / 1e9:.3g} GB are free: lower one "
            "of the two"
        )
