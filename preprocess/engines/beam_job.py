"""The Beam job: a thin shell around `shards.py`.

    Create(picture shards) | Reshuffle | BuildImages   -> refused keys
    Create(triplet shards) | Reshuffle | BuildTriplets(refused keys as a side input)

What travels is the name of a shard and, back, the keys of refused pictures: never the bytes
of one, so memory does not grow with the dataset. A shard's result is its marker on disk, so
that any runner, and a retried bundle, gives the same. Its progress is in Beam's counters
`shardline/pictures`, `variants`, `bytes` and `refused` too, for a runner's own pages.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from preprocess.engines import engine as engines
from preprocess.engines import engine_setup
from preprocess.engines.address_space import check_address_space
from preprocess.engines.loopback import listen_on_loopback_only
from preprocess.engines.stopping import LOST_WORKER, end_when_a_worker_is_lost, unwinding
from preprocess.shards.live_shard import live_workspace
from preprocess.shards.open_files import allow_open_files, threads_for
from preprocess.shards.shard_progress import Tally
from preprocess.shards.workspace import Workspace
from preprocess.shell.cli import say
from preprocess.shell.errors import EngineError, UsageError

# Worker processes cost seconds to start; below that many variants threads are done sooner.
PROCESSES_FROM_VARIANTS = 30_000
LOST_CONNECTION = "Channel closed prematurely."  # Beam, of a worker process that is gone


@dataclasses.dataclass(frozen=True)
class LocalRun:
    """What decides whether a job that runs here does so in processes or in threads.

    Attributes:
      workers: processes or threads.
      variants: of each picture, and so files open for each worker.
      variants_to_write: how much work there is.
    """

    workers: int
    variants: int
    variants_to_write: int

    def arguments(self) -> list[str]:
        """Beam's own options for it."""
        mode, workers = "multi_processing", self.workers
        if self.variants_to_write < PROCESSES_FROM_VARIANTS:
            mode = "multi_threading"
            workers = threads_for(workers, self.variants, allow_open_files())
        if workers == 1:
            return ["--direct_running_mode=in_memory"]
        return [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]


class BuildImages(beam.DoFn):
    """Builds picture shards by name; yields the keys of the pictures it refused."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset
        self._counters = {
            field.name: Metrics.counter("shardline", field.name)
            for field in dataclasses.fields(Tally)
        }

    def setup(self) -> None:
        """Imports in the worker; one OpenCV thread each, as the workers fill the cores."""
        import cv2

        cv2.setNumThreads(0)
        allow_open_files()

    def process(self, name: str) -> Iterable[int]:
        """Builds one shard."""
        from preprocess.shards.build_shard import build_image_shard

        return build_image_shard(self._dataset, name, self._count).refused_keys

    def _count(self, more: Tally) -> None:
        for name, counter in self._counters.items():
            counter.inc(getattr(more, name))


class BuildLiveImages(BuildImages):
    """Builds picture shards of one live variant by name (shards/live_shard.py)."""

    def __init__(self, dataset: str, variant: int, recipe: str) -> None:
        super().__init__(dataset)
        self._variant, self._recipe = variant, recipe

    def process(self, name: str) -> Iterable[int]:
        """Builds one shard."""
        from preprocess.shards.live_shard import build_live_shard

        build_live_shard(self._dataset, name, self._variant, self._recipe, self._count)
        return ()


class BuildTriplets(beam.DoFn):
    """Builds triplet shards by name, once it is known which pictures were refused."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset

    def process(self, name: str, refused: Sequence[int]) -> None:
        """Builds one shard."""
        from preprocess.shards.build_shard import build_triplet_shard

        build_triplet_shard(self._dataset, name, refused)


def run(
    dataset: str,
    image_shards: Sequence[str],
    triplet_shards: Sequence[str],
    refused: Sequence[int],
    local: LocalRun,
    beam_arguments: Sequence[str],
) -> None:
    """Builds the named shards and returns when all are done.

    Args:
      dataset: dataset directory, seen by every worker under this path.
      image_shards: names of picture shards to build.
      triplet_shards: names of triplet shards to build after them.
      refused: keys refused in picture shards that are not built again.
      local: the size of a local run.
      beam_arguments: options for Beam; a `--runner` among them replaces the local one.

    Raises EngineError if a job on another engine fails.
    """

    def build(runner: FnApiRunner | None, options: PipelineOptions) -> None:
        # Beam's workers print every exception before they pass it on; here it is raised, once.
        with (
            contextlib.redirect_stderr(io.StringIO()),
            beam.Pipeline(runner=runner, options=options) as pipeline,
        ):
            found = (
                pipeline
                | "PictureShards" >> beam.Create(image_shards)
                | "SpreadPictures" >> beam.Reshuffle()
                | "BuildImages" >> beam.ParDo(BuildImages(dataset))
            )
            known = pipeline | "KnownRefusals" >> beam.Create(refused)
            everything = beam.pvalue.AsList((found, known) | beam.Flatten())
            _ = (
                pipeline
                | "TripletShards" >> beam.Create(triplet_shards)
                | "SpreadTriplets" >> beam.Reshuffle()
                | "BuildTriplets" >> beam.ParDo(BuildTriplets(dataset), everything)
            )

    _run_job(build, Workspace(dataset), local, beam_arguments)


def run_live(
    dataset: str,
    image_shards: Sequence[str],
    variant: int,
    recipe: str,
    local: LocalRun,
    beam_arguments: Sequence[str],
) -> None:
    """Builds the named shards in one live variant and returns when all are done.

    Takes what run() takes, the variant's number and the recipe in canonical YAML. Raises
    EngineError as run() does.
    """

    def build(runner: FnApiRunner | None, options: PipelineOptions) -> None:
        with (
            contextlib.redirect_stderr(io.StringIO()),
            beam.Pipeline(runner=runner, options=options) as pipeline,
        ):
            _ = (
                pipeline
                | "LiveShards" >> beam.Create(image_shards)
                | "SpreadShards" >> beam.Reshuffle()
                | "BuildLiveImages" >> beam.ParDo(BuildLiveImages(dataset, variant, recipe))
            )

    _run_job(build, live_workspace(dataset), local, beam_arguments)


def _run_job(
    build: Callable[[FnApiRunner | None, PipelineOptions], None],
    workspace: Workspace,
    local: LocalRun,
    beam_arguments: Sequence[str],
) -> None:
    """Runs a job here or on an engine; `workspace` is where its shards leave their markers."""
    if engines.engine_of(beam_arguments):
        _run_on_engine(build, workspace, beam_arguments)
    elif engines.names_runner(beam_arguments):
        build(None, PipelineOptions(list(beam_arguments)))
    else:
        # The user's come last, so they win.
        options = PipelineOptions([*local.arguments(), *beam_arguments])
        check_address_space(max(1, options.view_as(DirectOptions).direct_num_workers))
        with _lost_workers_explained(), end_when_a_worker_is_lost():
            build(_local_runner(options), options)


def _run_on_engine(
    build: Callable[[None, PipelineOptions], None], workspace: Workspace, arguments: Sequence[str]
) -> None:
    """Starts the job again where the engine lost it, as long as shards get done in between.

    Not left to Flink, which passes no restarts on to Beam's batch jobs, and a cluster that has
    fewer machines now gets a job of their number.
    """
    in_vain = 0
    while True:
        before = workspace.marker_times()
        try:
            with unwinding(), engine_setup.engine(arguments, workspace.dataset) as completed:
                build(None, PipelineOptions(completed))
            return
        except EngineError as error:
            in_vain = 0 if workspace.marker_times() != before else in_vain + 1
            if not error.passing or in_vain >= len(engines.WAITS):
                raise
            wait = engines.WAITS[in_vain]
            say(f"{error}; resuming in {wait} s with the remaining shards")
            time.sleep(wait)


def check_arguments(arguments: Sequence[str], output: str) -> None:
    """Raises UsageError for an option that Beam does not know or a value that it refuses, and
    EngineError for an engine that does not answer.

    Where a runner is named, unknown options are left to it: job servers have their own.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(list(arguments))
            everything = options.get_all_options(retain_unknown_options=True)
            unknown = sorted(everything.keys() - options.get_all_options().keys())
    except SystemExit:  # argparse has printed its usage, of hundreds of lines, and the reason
        reason = said.getvalue().strip().rsplit("error: ", 1)[-1]
        raise UsageError(f"after ' -- ', Apache Beam: {reason}") from None
    if unknown and not engines.names_runner(arguments):
        names = ", ".join(f"--{name}" for name in unknown)
        raise UsageError(f"after ' -- ', Apache Beam has no option {names}")
    engine_setup.check(arguments, output)


def _local_runner(options: PipelineOptions) -> FnApiRunner:
    # Named: Beam's DirectRunner would look for Prism, a binary that it downloads.
    listen_on_loopback_only()  # threads are talked to through ports, too
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return FnApiRunner()
    direct.direct_running_mode = None  # it would start Beam's own worker, which is not quiet
    # Worker processes are started with `python -m` and must find this package.
    here = str(Path(__file__).resolve().parents[2])
    paths = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    command = f"exec {shlex.quote(sys.executable)} -m preprocess.engines.worker --die_with_parent"
    return FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string(command))


@contextlib.contextmanager
def _lost_workers_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if str(error) != LOST_CONNECTION:
            raise
        raise EngineError(LOST_WORKER) from None
