"""What a training logs before its first step: devices, splits, their problems, learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from trainer.config.keys import Config
from trainer.config.training_stages import stages_of
from trainer.data.learnable import census_in_words, census_of_sets, warnings
from trainer.data.reader import Reader, SetReader
from trainer.data.sets import TrainingSet
from trainer.optimizers.accumulation import accumulation_in_words
from trainer.optimizers.averages import averages_in_words, keeps_averages
from trainer.optimizers.schedules import schedule_in_words, stretched
from trainer.training.steps import Steps
from trainer.training.training_run import StepRun
from trainer.workers import devices


def devices_in_words(config: Config, strategy: tf.distribute.Strategy, reader: Reader) -> str:
    """What trains on what, with how many records."""
    return (
        f"{config.model.backbone} on {devices.describe(strategy)}: {reader.records} records, "
        f"{reader.steps_per_pass} steps a pass of {config.batch_size}"
        + (
            f", {reader.pictures_in_table} pictures {reader.table} in memory"
            if reader.table
            else ""
        )
    )


def splits_in_words(
    config: Config,
    sets: Sequence[TrainingSet],
    reader: Reader,
    validation: Mapping[str, SetReader],
) -> list[str]:
    """A line for each split, and a warning for each problem."""
    found, classes = census_of_sets(config, sets, reader, validation), sets[0].manifest.classes
    lines = [census_in_words(name, each, classes) for name, each in found.items()]
    return lines + [f"warning: {line}" for line in warnings(config, sets[0].manifest, found)]


def rates_in_words(run: StepRun, steps: Steps, earlier: Config) -> list[str]:
    """What is not obvious about a stage, a schedule and averaged weights.

    Args:
      run: with its optimizer.
      steps: of the run, including those already done.
      earlier: the configuration with which the run was last started.
    """
    optimizer, stage = run.session.optimizer_config, run.session.stage
    total, done = stage.epochs * steps.per_epoch, steps.done - stage.first * steps.per_epoch
    lines = [
        stage.in_words(run.config),
        accumulation_in_words(optimizer, total, run.config.batch_size),
        schedule_in_words(optimizer, total),
    ]
    if done:
        before = stages_of(earlier)[stage.number].epochs * steps.per_epoch
        lines.append(stretched(optimizer, before, total, done))
    if keeps_averages(run.session.model.optimizer):
        lines.append(
            "validation, saved states and the model use the optimizer's averages of the weights; "
            "BatchNorm statistics, if any, are not averaged"
        )
        lines.append(averages_in_words(optimizer, total))
    return [line for line in lines if line]
