"""One process of a search: takes one run after the other until none is left."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from preprocess.shell.atomic import write_text
from preprocess.shell.errors import ConfigError, UsageError
from preprocess.shell.escaped_output import bar_stream, escaped
from preprocess.shell.json_text import JsonObject
from preprocess.shell.progress import terminal_bar
from preprocess.shell.regular_files import odd_entries
from preprocess.shell.stop_flag import StopFlag
from trainer.config import Config, to_dict
from trainer.config.keys import KEYS, get
from trainer.data.dataset import check_fits, load_manifest
from trainer.search import hparams
from trainer.search.claims import BEAT_SECONDS, Claims, owner
from trainer.search.next_runs import expected_runs, plan
from trainer.search.search_run import FINISHED, RUNNING, WAITING, Run, params_text
from trainer.search.space import GRID, Params, Range, Space, starting_point
from trainer.search.study import JOURNAL, Study
from trainer.search.trial import Outcome, Stopped, drop_weights, train_flags, train_run

LOOK_SECONDS = 1.0  # between looks at what other processes are at
_CONFIG_FILE = '''"""What every run of this search starts from; written by `trainer search`."""

from trainer.config import from_dict


def get_config():
    return from_dict({values!r})
'''


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be searched.

    Attributes:
      folder: of the search.
      data: the dataset directory.
      space: with its metric.
      config: what every run starts from.
      repeats: runs of a point.
      limit: runs in all, 0 = all that the grid has.
      keep_weights: whether a finished run keeps its checkpoints and its model.
    """

    folder: Path
    data: str
    space: Space
    config: Config
    repeats: int
    limit: int
    keep_weights: bool

    @property
    def start(self) -> Params:
        """The values of the searched keys in the configuration."""
        return starting_point(self.space, self.config)


class Interrupted(Exception):
    """A signal ended the search; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def search(request: Request, say: Callable[[str], None]) -> list[Run]:
    """Works on the runs of a search until all are over, and returns them.

    Raises:
      ConfigError: the search was started with something else; or a run was refused before any
        run was finished, when it is hardly the doing of its values.
      DataError: no dataset, or a damaged one.
      UsageError: a folder that cannot be used.
      Interrupted: SIGTERM or SIGINT came; the run at hand was saved and given up.
    """
    manifest = load_manifest(request.data)
    check_fits(request.config, manifest, request.data)
    folder = request.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A launcher keeps a folder of its own here, from before the search begins.
        names = {entry.name for entry in folder.iterdir()} - {"launch"}
        strange = bool(names) and JOURNAL not in names
        odd = next(odd_entries(folder, depth=2), "")
    except OSError as error:
        raise UsageError(f"--workdir='{folder}': {error.strerror}") from None
    if strange:
        raise UsageError(f"--workdir='{folder}' is not empty and has no search; choose another")
    if odd:
        raise UsageError(
            f"--workdir: '{folder / odd}' is a link that leads out of it, a pipe or a device, and "
            "a search writes there; remove it"
        )
    study = Study(folder, request.space, request.start, request.config.seed)
    study.bind(_origin(request, manifest.digest))
    with study.locked():
        write_text(folder / "config.py", _CONFIG_FILE.format(values=to_dict(request.config)))
        hparams.write_experiment(folder, request.space)
    for name in ("trials", "logs"):
        (folder / name).mkdir(exist_ok=True)
    claims = Claims(folder / "claims", owner(os.getpid()))
    total = expected_runs(request.space, request.start, request.repeats, request.limit)
    with (
        # Not DIR/config.py, which is there to be read: a file of Python imports what lies next to
        # it, and DIR may come from elsewhere.
        tempfile.TemporaryDirectory(prefix="search-") as private,
        StopFlag() as signals,
        terminal_bar(total=total, unit="run", leave=False) as bar,
    ):
        config_file = Path(private, "config.py")
        config_file.write_text(_CONFIG_FILE.format(values=to_dict(request.config)), "utf-8")
        waiting = False
        while True:
            with study.locked():
                run = take(study, claims, request)
                runs = study.runs()
            bar.n = sum(each.state not in (RUNNING, WAITING) for each in runs)
            bar.refresh()
            if run is not None:
                waiting = False
                _train(run, request, config_file, study, claims, signals, say)
                continue
            if signals.received:
                raise Interrupted(signals.received)
            others = sum(each.state == RUNNING for each in runs)
            if not others:
                return runs
            if not waiting:
                say(f"{others} runs are still running in other processes; waiting for them")
                waiting = True
            time.sleep(LOOK_SECONDS)


def take(study: Study, claims: Claims, request: Request) -> Run | None:
    """The next run for this process, claimed; None if there is none to be had now.

    Those that a process left behind when it died come first. Call it under the study's lock.
    """
    runs = study.runs()
    for run in runs:
        if run.state == RUNNING and claims.is_free(run):
            if study.is_whole(run):
                study.check(run)
                claims.take(run)
                return run
            study.fail(run, "the process died while its values were drawn")
    begun = sum(run.state != WAITING and study.is_whole(run) for run in runs)
    if request.limit and begun >= request.limit:
        return None
    if not any(run.state == WAITING for run in runs):
        missing = plan(request.space, request.start, runs, request.repeats).missing
        if not missing and request.space.sampler == GRID:
            return None
        study.add(missing[:1])
    run = study.next()
    study.check(run)
    claims.take(run)
    return run


def _train(
    run: Run,
    request: Request,
    config_file: Path,
    study: Study,
    claims: Claims,
    signals: StopFlag,
    say: Callable[[str], None],
) -> None:
    folder, metric = request.folder, request.space.metric
    workdir, log = folder / "trials" / run.name, folder / "logs" / f"{run.name}.log"
    flags = train_flags(run, request.config.seed, config_file, request.data, workdir)
    renewed = time.monotonic()

    def beat() -> str:
        nonlocal renewed
        if signals.received:
            return "save"
        if time.monotonic() - renewed > BEAT_SECONDS:
            if not claims.is_mine(run):
                return "kill"  # this process was so slow that another one took it for dead
            claims.renew(run)
            renewed = time.monotonic()
        return ""

    try:
        outcome = train_run(flags, workdir, log, metric, beat)
    except Stopped:
        claims.release(run)
        if signals.received:
            raise Interrupted(signals.received) from None
        say(f"run {run.number} was taken over by another process")
        return
    with study.locked():
        none_finished = not any(each.state == FINISHED for each in study.runs())
    if outcome.refused and (outcome.refused is not ConfigError or none_finished):
        claims.release(run)
        raise outcome.refused(f"run {run.number}: {outcome.reason} (see {log})")
    if outcome.value is None:
        study.fail(run, outcome.reason)
    else:
        study.finish(run, outcome.value, outcome.interval, outcome.seconds)
    claims.release(run)
    hparams.write_run(folder, run, outcome.value)
    if not request.keep_weights:
        drop_weights(workdir)
    tqdm.write(escaped(_line(run, outcome, metric)), file=bar_stream())


def _line(run: Run, outcome: Outcome, metric: str) -> str:
    what = f"run {run.number}: {params_text(run.params)}, repeat {run.repeat}: "
    if outcome.value is None:
        return what + outcome.reason
    return f"{what}{metric} {outcome.value:.4f} ({outcome.seconds:.0f} s)"


def _origin(request: Request, digest: str) -> JsonObject:
    """What a search may not change when it is started again; repeats and trials may grow."""
    config = {key: get(request.config, key) for key in KEYS}
    stages = [
        {k: dataclasses.asdict(d) if isinstance(d, Range) else list(d) for k, d in stage.items()}
        for stage in request.space.stages
    ]
    space = {"sampler": request.space.sampler, "metric": request.space.metric, "space": stages}
    return {**config, **space, "dataset digest": digest[:12]}
