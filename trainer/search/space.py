"""A space: which keys of a configuration a search varies, over which values, how often.

    description: what is searched, in a line
    sampler: grid                 # or tpe, random
    metric: val_triplet_accuracy  # of metrics.jsonl; left out = the accuracy of the first split
    repeats: 3                    # runs of each point, with seeds seed, seed+1, ...
    trials: 40                    # runs in all; for tpe and random, unless --trials says it
    set: {epochs: 1, steps_per_epoch: 200}      # what every run changes in the configuration
    search:
      model.scale: [0.5, 1, 2]                  # choices
      optimizer.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
      batch_size: {low: 16, high: 128, step: 16}

With `stages:`, a list of such mappings in place of `search:`, a grid is searched one stage after
the other; a later stage keeps the best values that the earlier ones found.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.nearest import did_you_mean
from preprocess.shell.regular_files import read_regular
from preprocess.shell.shown import shown
from preprocess.shell.yaml_text import MAX_BYTES, read_mapping
from trainer.config import Config, load_config
from trainer.config.combinations import metric_names
from trainer.config.keys import KEYS, get
from trainer.config.measure_table import greater_is_better
from trainer.config.task_table import task_kind
from trainer.config.values import coerce, unknown_key

SPACES = Path(__file__).resolve().parent.parent / "spaces"
GRID, TPE, RANDOM = "grid", "tpe", "random"
_FIELDS = ("description", "sampler", "metric", "repeats", "trials", "set", "search", "stages")
_RANGE = ("low", "high", "log", "step")

Params = JsonObject


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; `step` None = all of them."""

    low: float
    high: float
    log: bool
    step: float | None


Domain = tuple[Any, ...] | Range  # a tuple = choices


@dataclasses.dataclass(frozen=True)
class Space:
    """What a search varies.

    Attributes:
      sampler: GRID, TPE or RANDOM.
      metric: a column of metrics.jsonl, '' = the accuracy of the first validation split.
      repeats: runs of each point, each with a seed of its own.
      trials: runs in all, 0 = not said.
      set: keys that every run changes in the configuration it starts from.
      stages: the domains by key, searched one mapping after the other.
      metrics: of the configuration.
    """

    sampler: str
    metric: str
    repeats: int
    trials: int
    set: Params
    stages: tuple[dict[str, Domain], ...]
    metrics: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """Every key that is searched, in the order of the stages."""
        return list(dict.fromkeys(key for stage in self.stages for key in stage))

    @property
    def greater(self) -> bool:
        """Whether more of the metric is better."""
        return greater_is_better(self.metric, self.metrics)


def space_names() -> list[str]:
    """The shipped spaces, sorted."""
    return sorted(path.stem for path in SPACES.glob("*.yaml"))


def load_space(path_or_name: str) -> Space:
    """The space of a YAML file, or a shipped one by its name.

    Raises:
      ConfigError: no such file, no YAML, an unknown field or key, a value that cannot be.
    """
    shipped = path_or_name in space_names()
    path = SPACES / f"{path_or_name}.yaml" if shipped else Path(path_or_name)
    where = f"--space={path_or_name}"
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{where}: {reason}; shipped spaces, by name: {', '.join(space_names())}"
        ) from None
    return parse_space(text, where)


def parse_space(text: str, where: str) -> Space:
    """The space that a YAML text describes; `where` names it in messages."""
    fields = read_mapping(text, where, "a mapping with `sampler:` and `search:`")
    for name in fields:
        if name not in _FIELDS:
            hint = did_you_mean(name, _FIELDS)
            raise ConfigError(
                f"{where}: unknown field {shown(name)}{hint}; it has {', '.join(_FIELDS)}"
            )
    sampler = fields.get("sampler", GRID)
    if sampler not in (GRID, TPE, RANDOM):
        raise ConfigError(f"{where}: sampler {shown(sampler)} is none of {GRID}, {TPE}, {RANDOM}")
    if ("search" in fields) == ("stages" in fields):
        raise ConfigError(f"{where}: give either `search:` or `stages:`")
    stages = fields.get("stages", [fields.get("search")])
    if not isinstance(stages, list) or not stages:
        raise ConfigError(f"{where}: `stages:` takes a list of mappings, received {shown(stages)}")
    if sampler != GRID and len(stages) > 1:
        raise ConfigError(f"{where}: stages are for the grid sampler, not for {sampler}")
    metric = fields.get("metric", "")
    if not isinstance(metric, str):
        raise ConfigError(f"{where}: metric takes a name, received {shown(metric)}")
    return Space(
        sampler=sampler,
        metric=metric,
        repeats=_count(fields.get("repeats", 1), f"{where}: repeats", least=1),
        trials=_count(fields.get("trials", 0), f"{where}: trials", least=0),
        set=_settings(fields.get("set", {}), where),
        stages=tuple(_stage(stage, sampler, where) for stage in stages),
    )


def base_config(
    space: Space, path_or_preset: str, overrides: list[tuple[str, str]]
) -> tuple[Space, Any]:
    """The space with its metric filled in, and the configuration that every run starts from.

    The configuration's own values come first, then `set` of the space, then the command line.
    Every value of the space is tried in it.

    Raises:
      ConfigError: a value that does not go with the rest, or a metric that there is not.
    """
    pairs = [(key, flag_text(value)) for key, value in space.set.items()]
    config = load_config(path_or_preset, [*pairs, *overrides])
    for stage in space.stages:
        for key, domain in stage.items():
            values = (domain.low, domain.high) if isinstance(domain, Range) else domain
            for value in values:
                try:
                    load_config(path_or_preset, [*pairs, *overrides, (key, flag_text(value))])
                except ConfigError as error:
                    raise ConfigError(f"{key}={shown(value)} of the space: {error}") from None
    names = metric_names(config)
    accuracy = task_kind(config.task).metric
    accuracies = [n for n in names[1:] if n.startswith("val_") and n.endswith(accuracy)]
    metric = space.metric or (accuracies[0] if accuracies else names[0])
    if metric not in names:
        raise ConfigError(f"metric {shown(metric)} of the space: a run has {', '.join(names)}")
    return dataclasses.replace(space, metric=metric, metrics=config.metrics), config


def flag_text(value: Any) -> str:
    """A value as `--config.KEY=` takes it."""
    if not isinstance(value, (list, tuple)):
        return str(value)
    if any(isinstance(item, Mapping) for item in value):
        return str(list(value))  # of a single one, the mapping alone would be no list
    return ",".join(map(str, value))


def starting_point(space: Space, config: Config) -> Params:
    """The values that the searched keys have in the configuration."""
    return {key: get(config, key) for key in space.keys}


def _count(value: Any, what: str, least: int) -> int:
    if type(value) is not int or value < least:
        raise ConfigError(f"{what} takes an integer of at least {least}, received {shown(value)}")
    return value


def _settings(values: Any, where: str) -> Params:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: `set:` takes keys with their values, received {shown(values)}")
    for key in values:
        _check_key(key, where)
    return {key: coerce(key, value) for key, value in values.items()}


def _stage(domains: Any, sampler: str, where: str) -> dict[str, Domain]:
    if not isinstance(domains, Mapping) or not domains:
        raise ConfigError(
            f"{where}: takes keys with their values to search, received {shown(domains)}"
        )
    return {key: _domain(key, domain, sampler, where) for key, domain in domains.items()}


def _domain(key: Any, domain: Any, sampler: str, where: str) -> Domain:
    _check_key(key, where)
    if isinstance(KEYS[key].default, tuple):
        raise ConfigError(f"{where}: {key} is a list and cannot be searched")
    if isinstance(domain, list):
        values = tuple(coerce(key, value) for value in domain)
        if not values or len(set(values)) < len(values):
            raise ConfigError(f"{where}: {key} takes different choices, received {shown(domain)}")
        return values
    if not isinstance(domain, Mapping) or not {"low", "high"} <= domain.keys() <= {*_RANGE}:
        raise ConfigError(
            f"{where}: {key} takes a list of choices or {{low: , high: , log: , step: }}, "
            f"received {shown(domain)}"
        )
    if sampler == GRID:
        raise ConfigError(f"{where}: {key} has a range; a grid takes lists, tpe and random both")
    return _range(key, domain, where)


def _range(key: str, domain: Mapping[str, Any], where: str) -> Range:
    kind = type(KEYS[key].default)
    if kind not in (int, float):
        raise ConfigError(f"{where}: {key} is no number; give a list of choices")
    low, high = (coerce(key, domain[end]) for end in ("low", "high"))
    assert isinstance(low, (int, float))
    assert isinstance(high, (int, float))
    log, step = domain.get("log", False), domain.get("step")
    if type(log) is not bool:
        raise ConfigError(f"{where}: log of {key} is true or false, received {shown(log)}")
    if not low < high or (log and low <= 0):
        above = " above 0" if log else ""
        raise ConfigError(
            f"{where}: {key} takes low{above} < high, received {shown(low)} and {shown(high)}"
        )
    if step is not None and (log or type(step) not in (int, kind) or not 0 < step < math.inf):
        raise ConfigError(
            f"{where}: step of {key} is a number above 0, without log; got {shown(step)}"
        )
    return Range(low, high, log, step)


def _check_key(key: Any, where: str) -> None:
    if key not in KEYS:
        raise ConfigError(f"{where}: {unknown_key(key if isinstance(key, str) else shown(key))}")
    if key == "seed":
        raise ConfigError(f"{where}: seeds belong to `repeats:`, the first one to --config.seed")
    if isinstance(KEYS[key].default, dict):
        raise ConfigError(f"{where}: {key} has free arguments and cannot be set in a space")
