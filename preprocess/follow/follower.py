"""The loop of `preprocess follow`: look at the run, remove what is done with, build what is next.

What it does follows from the run's position and from what is in DATASET/live, never from what it
did before: a follower that was killed and started again makes the same files.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from preprocess import storage
from preprocess.augment import Recipe, load_recipe
from preprocess.build.builder import beam_job, full_disk_explained, worker_errors_told
from preprocess.dataset_format import IMAGES, Manifest
from preprocess.follow.base_watch import BaseWatch
from preprocess.follow.earlier import check_earlier
from preprocess.follow.live_store import LiveStore
from preprocess.follow.run_position import RunPosition, RunWatch
from preprocess.follow.window import Window
from preprocess.follow.worker_count import worker_count
from preprocess.live_format import (
    LIVE_FOLDER,
    LIVE_SPLIT,
    FollowerState,
    LiveVariant,
    base_digest,
)
from preprocess.shards.live_shard import build_options, live_workspace, marker_name
from preprocess.shards.reading import load_manifest
from preprocess.shards.versions import deciding_versions
from preprocess.shards.workspace import FOLDER
from preprocess.shell.cli import say
from preprocess.shell.errors import ConfigError, DataError, StorageError, UsageError
from preprocess.shell.json_text import JsonObject
from preprocess.storage import LockHeld

POLL_SECONDS = 0.5  # between two looks at a run that needs nothing
HEARTBEAT_SECONDS = 10.0  # between two writes of the follower's file
MEASURED = 5  # variants whose median time is reported


@dataclasses.dataclass(frozen=True)
class FollowRequest:
    """What `preprocess follow` was asked for; see its flags."""

    dataset: str
    run: str
    ahead: int
    keep: int
    recipe: str  # name or path; "" = the dataset's own
    workers: int  # 0 = the cores this process may use
    beam_arguments: tuple[str, ...] = ()


def follow(request: FollowRequest) -> JsonObject:
    """Builds variants until the run has ended; returns what `--json` prints.

    Raises:
      UsageError: another follower or build works on the dataset, or no recipe is known.
      ConfigError: the dataset, its live variants and this request do not fit together.
      DataError: there is no dataset, or its pictures have changed.
    """
    manifest, recipe = check(request)
    with _alone(request.dataset) as check_lock, full_disk_explained(request.dataset):
        return _Follower(request, manifest, recipe, check_lock).run()


def check(request: FollowRequest) -> tuple[Manifest, Recipe]:
    """The dataset and the recipe of its variants; raises what follow() does about them."""
    manifest = load_manifest(request.dataset)
    if LIVE_SPLIT not in manifest.splits:
        raise DataError(f"'{request.dataset}' has no split '{LIVE_SPLIT}' to make variants of")
    if any(name.lower() == LIVE_FOLDER for name in manifest.splits):
        raise ConfigError(
            f"'{request.dataset}' has a split '{LIVE_FOLDER}', the folder of live variants: build "
            "it again with another name for that split"
        )
    recipe = _recipe(request)
    if request.beam_arguments:
        beam_job(request.beam_arguments).check_arguments(request.beam_arguments, request.dataset)
    return manifest, recipe


class _Follower:
    def __init__(
        self,
        request: FollowRequest,
        manifest: Manifest,
        recipe: Recipe,
        check_lock: Callable[[], object],
    ) -> None:
        split = manifest.split(LIVE_SPLIT)
        self._request, self._recipe, self._check_lock = request, recipe, check_lock
        self._store = LiveStore(request.dataset, split.variants)
        self._window = Window(split.variants, request.ahead, request.keep)
        self._shards = [
            f"{LIVE_SPLIT}-{IMAGES}-{number:05d}" for number in range(len(split.image_shards()))
        ]
        self._pictures = split.images
        self._times: deque[float] = deque(maxlen=MEASURED)
        self._built = 0
        self._waiting_told = False
        self._state = FollowerState(
            base=base_digest(manifest),
            recipe=recipe.digest,
            seed=manifest.seed,
            libraries=deciding_versions(recipe.libraries),
            workers=min(worker_count(request.workers, request.beam_arguments), len(self._shards)),
            run=request.run,
        )
        self._base = BaseWatch(request.dataset, self._state.base)
        self._settled: RunPosition | None = None  # where nothing was left to remove

    def run(self) -> JsonObject:
        """Until the run has ended."""
        before = check_earlier(self._store, self._state)
        if before and before.workers == self._state.workers:
            # Until this one has measured its own.
            self._state = dataclasses.replace(self._state, seconds=before.seconds)
        self._store.remove_torn()
        watch = RunWatch(self._request.run)
        say(
            f"following '{self._request.run}': {self._request.ahead} variants ahead of its pass, "
            f"{self._request.keep} kept, in '{os.path.join(self._request.dataset, LIVE_FOLDER)}'"
        )
        with self._heartbeat():
            while not ((position := watch.look()) and position.ended):
                self._check_lock()
                self._base.check()
                if position is None or not self._turn(position):
                    time.sleep(POLL_SECONDS)
        say(f"the run has {position.ended}; {self._built} variants were built")
        return {
            "run": position.ended,
            "variants_built": self._built,
            "seconds_a_variant": self._state.seconds or None,
            "workers": self._state.workers,
        }

    def _turn(self, position: RunPosition) -> bool:
        """Removes, and builds one variant; False = there is nothing to do."""
        at, there = position.pass_number, self._store.there()
        wanted = self._window.next_to_build(there, at, position.last_pass)
        if wanted is None and position == self._settled:
            return False  # without a list of all files, which takes long on NFS
        done_with = self._window.to_remove(there, self._store.started(), at, position.variant)
        if done_with and not position.begun:
            # Of another run, or of this one, whose file is on a disk that is not there yet.
            if not self._waiting_told:
                say(
                    f"'{self._request.run}' has not begun, and there are variants {done_with} of a "
                    "run that has: nothing is removed or built until it begins; is --run right?"
                )
            self._waiting_told = True
            return False
        for variant in done_with:
            self._store.remove(variant)
        self._settled = position
        if wanted is None:
            return False
        self._build(wanted, at)
        return True

    def _build(self, variant: int, pass_number: int) -> None:
        self._store.refuse_links()  # the workers write below them
        job = beam_job(self._request.beam_arguments)
        live = live_workspace(self._request.dataset)
        began = time.monotonic()
        names = {marker_name(shard, variant): shard for shard in self._shards}
        done = live.reports(list(names))
        with worker_errors_told():
            job.run_live(
                self._request.dataset,
                [shard for name, shard in names.items() if name not in done],
                variant,
                self._recipe.deciding,
                job.LocalRun(self._state.workers, variants=1, variants_to_write=self._pictures),
                self._request.beam_arguments,
            )
        reports = live.reports(list(names))
        for name in names:
            if name not in reports:
                raise RuntimeError(f"shard {name} was not built; do all workers see the dataset?")
            if reports[name].libraries != self._state.libraries:
                raise ConfigError(
                    f"a worker has other libraries ({reports[name].libraries}) than this process "
                    f"({self._state.libraries}): install the same versions"
                )
        self._base.check()
        state = self._state
        self._store.add(
            LiveVariant(
                variant,
                state.base,
                state.recipe,
                state.seed,
                tuple(
                    dataclasses.replace(shard, file=f"{LIVE_FOLDER}/{shard.file}")
                    for name in names
                    for shard in reports[name].shards
                ),
            )
        )
        seconds = time.monotonic() - began
        self._built += 1
        if not done:  # all of it, and not what a killed follower had left
            self._times.append(seconds)
            seconds_a_variant = statistics.median(self._times)
            self._state = dataclasses.replace(state, seconds=seconds_a_variant)
        self._state = dataclasses.replace(self._state, built=self._built)
        self._beat()
        say(
            f"variant {variant}: {self._pictures} pictures in {seconds:.1f} s by "
            f"{state.workers} worker(s); the run is in pass {pass_number}"
        )

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Keeps the follower's file fresh, also while a variant takes long."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT_SECONDS):
                with suppress(OSError, StorageError):  # the next one may succeed
                    self._beat()

        self._beat()
        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _beat(self) -> None:
        self._store.write_state(dataclasses.replace(self._state, time=time.time()))


def _recipe(request: FollowRequest) -> Recipe:
    """The recipe that the dataset was built by, or that of the request where it has none."""
    before = build_options(request.dataset)
    given = load_recipe(request.recipe) if request.recipe else None
    if not before.recipe and given is None:
        raise UsageError(
            f"'{request.dataset}' has the pictures as they came and no recipe: set --recipe"
        )
    if before.recipe and given is not None and given.deciding != before.recipe:
        raise ConfigError(
            f"--recipe={request.recipe} is not the recipe that '{request.dataset}' was built by: "
            "leave it out, or build a dataset with --variants=1, which has none"
        )
    recipe = given or Recipe.from_yaml(before.recipe)
    recipe.check()
    return recipe


@contextmanager
def _alone(dataset: str) -> Iterator[Callable[[], object]]:
    """Holds the lock of the dataset's builds; yields what raises once it is lost."""
    try:
        lock = storage.lock(os.path.join(dataset, FOLDER, "lock"), "a follower")
        with lock as held:
            yield held.check
    except LockHeld as error:
        raise UsageError(
            f"another follower or build is writing to '{dataset}' ({error}): wait for it, or end it"
        ) from None
