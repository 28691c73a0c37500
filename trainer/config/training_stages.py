"""`stages`: what trains, epoch after epoch of one run, and at which learning rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from preprocess.shell.nearest import did_you_mean
from trainer.config.bounds import MOST_EPOCHS
from trainer.config.key_field import PlainMapping, PlainValue
from trainer.config.keys import KEYS, Config, with_values

_TRAINABLE, _RATE = "model.trainable", "optimizer.learning_rate"
# What a stage may set: its length, and these keys, by the name they have in it.
_SETS = {key.rpartition(".")[2]: key for key in (_TRAINABLE, _RATE)}
_TAKES = ("epochs", *_SETS)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stretch of a run with a set of trainable weights and an optimizer of its own.

    Attributes:
      number: from 0.
      first: epochs that the run has finished when it begins.
      epochs: its length, which the run's own `epochs` may cut short.
      trainable: as `model.trainable`.
      learning_rate: as `optimizer.learning_rate`.
    """

    number: int
    first: int
    epochs: int
    trainable: str
    learning_rate: float

    @property
    def end(self) -> int:
        """Epochs of the run up to its end."""
        return self.first + self.epochs

    def applied(self, config: Config) -> Config:
        """A run's configuration with this stage's own values."""
        return with_values(config, {_TRAINABLE: self.trainable, _RATE: self.learning_rate})

    def in_words(self, config: Config) -> str:
        """Which one it is, and what it trains; "" for the only one of a run without `stages`."""
        if not config.stages:
            return ""
        text = f"stage {self.number + 1} of {len(config.stages)}"
        if self.first >= config.epochs:
            return f"{text} is not reached: it begins after epoch {self.first} of {config.epochs}"
        return (
            f"{text}, epochs {self.first + 1} to {min(self.end, config.epochs)}: trains "
            f"{self.trainable}, learning rate {self.learning_rate:g}, optimizer from scratch"
        )


def stages_of(config: Config) -> tuple[Stage, ...]:
    """The stages of a checked configuration; one for the whole run where it names none."""
    found: list[Stage] = []
    first = 0
    for number, given in enumerate(config.stages or ({},)):
        epochs = int(str(given.get("epochs", config.epochs - first)))
        trainable = str(given.get("trainable", config.model.trainable))
        rate = float(str(given.get("learning_rate", config.optimizer.learning_rate)))
        found.append(Stage(number, first, max(0, epochs), trainable, rate))
        first += epochs
    return tuple(found)


def last_stage(config: Config) -> Config:
    """A run of the last stage alone, which usually trains most; the configuration itself without
    stages.
    """
    if not config.stages:
        return config
    stage = stages_of(config)[-1]
    alone = dataclasses.replace(stage.applied(config), stages=())
    return dataclasses.replace(alone, epochs=max(1, stage.epochs))


def same_but_for_the_end(one: Sequence[PlainMapping], other: Sequence[PlainMapping]) -> bool:
    """Whether two values of `stages` differ in nothing but how long the last one is."""
    return [*map(dict, one[:-1]), _endless(one)] == [*map(dict, other[:-1]), _endless(other)]


def _endless(stages: Sequence[PlainMapping]) -> dict[str, PlainValue]:
    last = stages[-1] if stages else {}
    return {name: value for name, value in last.items() if name != "epochs"}


def stages_left(config: Config, epochs: int) -> list[dict[str, PlainValue]]:
    """The value of `stages` for what is left of a run after so many epochs; [] without stages."""
    left: list[dict[str, PlainValue]] = []
    for stage, given in zip(stages_of(config), config.stages, strict=False):
        if epochs < stage.end and stage.first < config.epochs:
            length = min(stage.end, config.epochs) - max(stage.first, epochs)
            left.append({**given, "epochs": length})
    return left


def stage_problems(config: Config) -> Iterator[str]:
    """What is wrong with `stages`."""
    last = len(config.stages) - 1
    wrong = False
    for number, given in enumerate(config.stages):
        name = f"stages[{number}]"
        for key, value in given.items():
            if key not in _TAKES:
                hint = did_you_mean(key, _TAKES)
                yield f"{name}: {key} is unknown{hint}; a stage takes {', '.join(_TAKES)}"
            elif key == "epochs":
                whole = type(value) is int and 1 <= value <= MOST_EPOCHS
                wrong |= not whole
                if not whole:
                    yield f"{name}.epochs: received {value!r}, takes an integer of at least 1"
            elif not _fits(_SETS[key], value):
                yield f"{name}.{key}: received {value!r}, takes {KEYS[_SETS[key]].allowed}"
        if "epochs" not in given and number < last:
            wrong = True
            yield f"{name} has no epochs; only the last stage may leave them out"
    if wrong or not config.stages:
        return
    lengths = [int(str(given["epochs"])) for given in config.stages if "epochs" in given]
    if "epochs" in config.stages[-1] and sum(lengths) < config.epochs:
        yield (
            f"stages: their epochs sum to {sum(lengths)}, epochs is {config.epochs}: set epochs to "
            f"{sum(lengths)}, or leave out the last stage's, which then lasts to the end"
        )


def _fits(key: str, value: object) -> bool:
    kind = type(KEYS[key].default)
    if kind is float:
        number = type(value) in (int, float)
        return number and KEYS[key].within_bounds(float(str(value)))
    return isinstance(value, str) and bool(value)
