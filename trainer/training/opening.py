"""What a training logs before its first step: its splits, their problems, learning rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from preprocess.dataset_format import Manifest
from trainer.config.keys import Config
from trainer.config.stages import stages_of
from trainer.data.learnable import census, census_in_words, warnings
from trainer.data.reader import Reader
from trainer.optimizers.accumulation import accumulation_in_words
from trainer.optimizers.averages import averages_in_words, keeps_averages
from trainer.optimizers.schedules import schedule_in_words, stretched
from trainer.training.steps import Steps
from trainer.training.training_run import StepRun


def splits_in_words(
    config: Config, dataset: str, manifest: Manifest, readers: Mapping[str, Reader]
) -> list[str]:
    """A line for each split, and a warning for each problem."""
    found = {name: census(dataset, manifest, name, reader) for name, reader in readers.items()}
    lines = [census_in_words(name, each, manifest.classes) for name, each in found.items()]
    return lines + [f"warning: {line}" for line in warnings(config, manifest, found)]


def rates_in_words(run: StepRun, steps: Steps, epochs_before: int) -> list[str]:
    """What is not obvious about a stage, a schedule and averaged weights.

    Args:
      run: with its optimizer.
      steps: of the run, including those already done.
      epochs_before: `epochs` when the run was last started.
    """
    optimizer, stage = run.session.optimizer_config, run.session.stage
    total, done = stage.epochs * steps.per_epoch, steps.done - stage.first * steps.per_epoch
    lines = [
        stage.in_words(run.config),
        accumulation_in_words(optimizer, total, run.config.batch_size),
        schedule_in_words(optimizer, total),
    ]
    if done:
        earlier = dataclasses.replace(run.config, epochs=epochs_before)
        before = stages_of(earlier)[stage.number].epochs * steps.per_epoch
        lines.append(stretched(optimizer, before, total, done))
    if keeps_averages(run.session.model.optimizer):
        lines.append(
            "validation, saved states and the model use the optimizer's averages of the weights; "
            "BatchNorm statistics, if any, are not averaged"
        )
        lines.append(averages_in_words(optimizer, total))
    return [line for line in lines if line]
