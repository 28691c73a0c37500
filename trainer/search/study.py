"""The runs of a search in an Optuna study, in one file that any number of processes share.

    DIR/journal.log          Optuna's journal: every operation, a line each
    DIR/journal.log.lock     held while a line is appended
    DIR/search.lock          held while a process decides what to do next

The locks are files made with O_EXCL, which is exclusive on NFS 3 and later as well; one left by a
killed process is removed after LOCK_SECONDS. Optuna draws the values of sampled spaces and
hands each waiting run to one process only.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from preprocess.shell.errors import ConfigError, DataError, first_line
from preprocess.shell.json_text import JsonObject
from trainer.config.keys import KEYS
from trainer.search.search_run import FAILED, FINISHED, RUNNING, WAITING, Run, identity
from trainer.search.space import RANDOM, Params, Range, Space

JOURNAL, LOCK = "journal.log", "search.lock"
LOCK_SECONDS = 30  # what is done under a lock takes milliseconds
_NAME = "search"
_ORIGIN = "origin"  # attribute of the study: what it was started with
# What Optuna makes of lines that are not its own.
_DAMAGE = (
    *(ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError),
    *(OSError, OverflowError, optuna.exceptions.OptunaError),
)
_STATES = {
    TrialState.WAITING: WAITING,
    TrialState.RUNNING: RUNNING,
    TrialState.COMPLETE: FINISHED,
    TrialState.FAIL: FAILED,
}


class Study:
    """All runs of the search in a folder."""

    def __init__(self, folder: Path, space: Space, start: Params, seed: int) -> None:
        """Opens the study, or makes it.

        Args:
          folder: of the search, there already.
          space: what is searched.
          start: the values of the searched keys in the configuration.
          seed: of the draws.

        Raises:
          DataError: a journal that cannot be read.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._space, self._seed = space, seed
        self._distributions = distributions(space, start)
        self._lock = JournalFileOpenLock(str(folder / LOCK), grace_period=LOCK_SECONDS)
        journal = folder / JOURNAL
        journal_lock = JournalFileOpenLock(str(journal), grace_period=LOCK_SECONDS)
        if journal.exists():
            with _held(journal_lock):
                _drop_torn_line(journal)
        try:
            storage = JournalStorage(JournalFileBackend(str(journal), journal_lock))
            with self.locked():
                self._study = optuna.create_study(
                    storage=storage,
                    study_name=_NAME,
                    direction="maximize" if space.greater else "minimize",
                    load_if_exists=True,
                )
        except _DAMAGE as error:
            reason = first_line(error)[:200]
            raise DataError(f"'{journal}' cannot be read ({reason}); move it away") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While it is held, no other process takes, adds or releases a run."""
        with _held(self._lock):
            yield

    def bind(self, origin: JsonObject) -> None:
        """Notes what the search was started with; raises ConfigError if that was something
        else. A dict of plain values; the message names the differing ones.
        """
        origin = json.loads(json.dumps(origin))
        with self.locked():
            before = self._study.user_attrs.get(_ORIGIN)
            if before is None:
                self._study.set_user_attr(_ORIGIN, origin)
                return
        changed = [
            f"{key} ({before.get(key)!r} -> {origin.get(key)!r})"
            for key in dict.fromkeys([*before, *origin])
            if before.get(key) != origin.get(key)
        ]
        if changed:
            raise ConfigError(
                f"this search was started with another {'; '.join(changed)}. "
                "Give the old one, or another --workdir"
            )

    def runs(self) -> list[Run]:
        """Every run there is, by number."""
        return [_run(trial) for trial in self._study.get_trials(deepcopy=False)]

    def add(self, wanted: Sequence[tuple[Params, int]]) -> None:
        """Adds waiting runs of (params, repeat)."""
        for params, repeat in wanted:
            self._study.enqueue_trial(params, user_attrs={"repeat": repeat})

    def next(self) -> Run:
        """Takes the first waiting run, or if there is none draws a new one."""
        drawn = self._study.get_trials(deepcopy=False)
        # A sampler a draw, seeded by how many there are: no two processes draw the same.
        words = np.random.SeedSequence([self._seed, len(drawn)]).generate_state(1)
        if self._space.sampler == RANDOM:
            sampler: Any = optuna.samplers.RandomSampler(seed=int(words[0]))
        else:
            # constant_liar: runs of other processes count as bad ones until they are finished,
            # so that all do not draw from the same corner.
            sampler = optuna.samplers.TPESampler(seed=int(words[0]), constant_liar=True)
        self._study.sampler = sampler
        trial = self._study.ask(self._distributions)
        run = _run(self._study.get_trials(deepcopy=False)[trial.number])
        same = [r for r in map(_run, drawn) if identity(r.params) == identity(run.params)]
        if "repeat" not in trial.user_attrs and same:  # drawn a second time
            trial.set_user_attr("repeat", 1 + max(each.repeat for each in same))
        return _run(self._study.get_trials(deepcopy=False)[trial.number])

    def finish(
        self, run: Run, value: float, interval: Sequence[float] | None, seconds: float
    ) -> None:
        """Notes the result of a run; one that is noted already stays as it is."""
        self._note(run, interval=list(interval) if interval else None, seconds=seconds)
        self._study.tell(run.number, value, skip_if_finished=True)

    def fail(self, run: Run, reason: str) -> None:
        """Notes that a run came to nothing."""
        self._note(run, reason=reason)
        self._study.tell(run.number, state=TrialState.FAIL, skip_if_finished=True)

    def is_whole(self, run: Run) -> bool:
        """Whether every value of a run was drawn; not so where a process died in between."""
        return set(run.params) == set(self._distributions)

    def check(self, run: Run) -> None:
        """Raises DataError if a run that is about to be trained has keys or values that are not
        of the space: a journal of a stranger's could name a graph to be loaded.
        """
        for key, value in run.params.items():
            domain = self._distributions.get(key)
            try:
                fits = domain is not None and domain._contains(domain.to_internal_repr(value))
            except (ValueError, TypeError):
                fits = False
            if not fits:
                raise DataError(
                    f"run {run.number} of the journal has {key[:60]!r}: {str(value)[:60]!r}, which "
                    "is not of this search; choose another --workdir"
                )

    def _note(self, run: Run, **attributes: Any) -> None:
        trial = self._study.get_trials(deepcopy=False)[run.number]
        if trial.state.is_finished():
            return
        for name, value in attributes.items():
            self._study._storage.set_trial_user_attr(trial._trial_id, name, value)


def distributions(space: Space, start: Params) -> dict[str, BaseDistribution]:
    """What Optuna is told of each key: choices are those of all stages and the start."""
    found: dict[str, BaseDistribution] = {}
    for key in space.keys:
        domains = [stage[key] for stage in space.stages if key in stage]
        ranges = [domain for domain in domains if isinstance(domain, Range)]
        if ranges:
            low, high, log, step = ranges[0].low, ranges[0].high, ranges[0].log, ranges[0].step
            if isinstance(KEYS[key].default, int):
                found[key] = IntDistribution(int(low), int(high), log, int(step or 1))
            else:
                found[key] = FloatDistribution(low, high, log, step)
        else:
            values = [value for domain in domains if isinstance(domain, tuple) for value in domain]
            # Sampled spaces keep to their choices; a grid's first stages keep to the start.
            before = [start[key]] if len(space.stages) > 1 else []
            found[key] = CategoricalDistribution(list(dict.fromkeys([*before, *values])))
    return found


def _run(trial: FrozenTrial) -> Run:
    attributes = trial.user_attrs
    waiting = trial.system_attrs.get("fixed_params", {})  # what a run was added with
    interval = attributes.get("interval")
    return Run(
        number=trial.number,
        params={**waiting, **trial.params},
        repeat=attributes.get("repeat", 0),
        state=_STATES[trial.state],
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        interval=(interval[0], interval[1]) if interval else None,
        seconds=attributes.get("seconds"),
        reason=attributes.get("reason", ""),
    )


@contextmanager
def _held(lock: JournalFileOpenLock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _drop_torn_line(journal: Path) -> None:
    """Takes away what a process that was killed while writing left behind the last whole line:
    the next line would be glued to it, and neither could be read.
    """
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(journal, whole)
