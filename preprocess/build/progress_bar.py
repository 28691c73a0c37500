"""The progress bar of a build, from its workers' commit markers and progress notes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping

from preprocess import storage
from preprocess.shards.commit_marker import ShardReport
from preprocess.shards.shard_progress import Tally
from preprocess.shards.workspace import Workspace
from preprocess.shell.errors import StorageError
from preprocess.shell.progress import LOG_SECONDS, on_terminal, progress

POLL_SECONDS = 0.3  # between two updates
REMOTE_POLL_SECONDS = 5.0  # the same on object storage, where each update costs requests


def written(report: ShardReport, before: ShardReport | None) -> Tally:
    """The result of building a picture shard, without the variants it had before."""
    new = [s for s in report.shards if before is None or s not in before.shards]
    return Tally(
        pictures=new[0].records if new else 0,
        variants=sum(shard.records for shard in new),
        bytes=sum(shard.bytes for shard in new),
        refused=len(report.refused_keys) if new else 0,
    )


class Watch:
    """Reads the progress of a build from markers and notes.

    Args:
      workspace: of the build.
      before: the existing part of each picture shard that is being built; None = nothing.
    """

    def __init__(self, workspace: Workspace, before: Mapping[str, ShardReport | None]) -> None:
        self._workspace = workspace
        self._open = dict(before)
        self._marked_before = workspace.marker_times()
        self._finished = Tally()
        remote = storage.is_remote(workspace.dataset)
        self.pause = REMOTE_POLL_SECONDS if remote else POLL_SECONDS

    def look(self) -> Tally:
        """What has been done so far."""
        # Notes first: a shard that finishes in between is counted by its note, not twice.
        notes = {name: self._note(name) for name in self._open}
        for name, time_ns in self._workspace.marker_times().items():
            if name not in self._open or self._marked_before.get(name) == time_ns:
                continue
            report = self._workspace.report(name)
            if report is not None:
                self._finished += written(report, self._open.pop(name))
                del notes[name]
        return sum(notes.values(), start=self._finished)

    def _note(self, name: str) -> Tally:
        try:
            return Tally(*map(int, self._workspace.noted(name).split()))
        except (TypeError, ValueError):  # read while it was being written
            return Tally()


@contextlib.contextmanager
def bar(watch: Watch, pictures: int, variants: int) -> Iterator[None]:
    """Shows a bar over `variants` of `pictures` while the body runs; a line a minute if stderr is
    not a terminal.
    """
    done = threading.Event()
    started = time.monotonic()
    pause = watch.pause if on_terminal() else LOG_SECONDS
    with progress(variants, " variants", "building") as shown:

        def update() -> None:
            tally = watch.look()
            rates = tally.per_second(max(time.monotonic() - started, 1e-9))
            shown.set_postfix_str(
                f"{rates['pictures_per_second']:.1f} pictures/s, "
                f"{rates['megabytes_per_second']:.1f} MB/s, {tally.refused} refused",
                refresh=False,
            )
            # A refused picture counts as done, with as many variants as the others.
            passed_over = round(tally.refused * variants / pictures)
            shown.update(min(tally.variants + passed_over, variants) - shown.n)

        def run() -> None:
            while not done.wait(pause):
                with contextlib.suppress(OSError, StorageError):  # the workers will report it
                    update()

        if not pictures:
            yield
            return
        watcher = threading.Thread(target=run, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            with contextlib.suppress(OSError, StorageError):
                update()
