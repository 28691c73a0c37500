"""The build's own folder, DATASET/.build: the plan, and a commit marker a finished shard.

.build/options.json          what decides the bytes; compared when a build is run again
.build/refused.json          keys of pictures known to be refused before any is opened
.build/plan/NAME.jsonl       one shard's plan
.build/done/NAME.json        written after the shard's files, names their hashes: which variants
                             of the shard are there, and by what they were made
.build/progress/NAME         how far a shard is that is being built
.build/overwriting           there from the start of a build with --overwrite to its end
.build/lock                  held while a build runs
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence

from preprocess import storage
from preprocess.dataset_format import MANIFEST_FILE, TFDS_FILES
from preprocess.shards.commit_marker import ShardReport, standing
from preprocess.shards.shard_plan import Options, ShardPlan
from preprocess.shell.errors import UsageError

FOLDER = ".build"
NO_PLAN = "no plan in "  # a worker's error, of which an engine passes on the text only


class Workspace:
    """Paths and small files of a build below one dataset directory."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.root = os.path.join(dataset, FOLDER)

    @contextlib.contextmanager
    def locked(self, owner: str = "a build") -> Iterator[storage.Lock]:
        """Holds the build's lock; raises UsageError if another build holds it. A killed build
        does not keep the next one out: see `storage.lock`.
        """
        with contextlib.ExitStack() as stack:
            try:
                storage.make_folder(self.root)
                lock = storage.lock(os.path.join(self.root, "lock"), owner)
                held = stack.enter_context(lock)
            except OSError as error:
                raise UsageError(f"--output='{self.dataset}': {error.strerror}") from None
            except storage.LockHeld as error:
                raise UsageError(
                    f"another build is writing to '{self.dataset}' ({error}); wait for it, or "
                    "choose another --output"
                ) from None
            yield held

    def write_plan(
        self, options: Options, shards: Sequence[ShardPlan], refused_keys: Collection[int]
    ) -> None:
        """Replaces the plan files; what they say decides which markers still hold.

        Args:
          options: of all shards.
          shards: every shard of the dataset, with its lines.
          refused_keys: pictures refused before any was opened.
        """
        for folder in ("plan", "progress"):
            storage.remove_tree(os.path.join(self.root, folder))
        storage.write_unsynced({self._plan_file(s.name): s.to_text for s in shards})
        refused = json.dumps(sorted(refused_keys))
        storage.write_text(os.path.join(self.root, "refused.json"), refused)
        storage.write_text(os.path.join(self.root, "options.json"), options.to_json())

    @property
    def is_overwriting(self) -> bool:
        """Whether a build with --overwrite has begun here and not ended."""
        return storage.exists(self._overwriting)

    def begin_overwriting(self) -> None:
        """Notes that what is there from now on is of a build with --overwrite."""
        storage.write_text(self._overwriting, "")

    def end_overwriting(self) -> None:
        """Notes that a build has ended, so that the next --overwrite starts over."""
        storage.remove(self._overwriting)

    @property
    def _overwriting(self) -> str:
        return os.path.join(self.root, "overwriting")

    def options(self) -> Options | None:
        """The options of the build that wrote here last; None if there was none."""
        try:
            text = storage.read_text(os.path.join(self.root, "options.json"))
            return Options(**json.loads(text))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def shard_plan(self, name: str) -> ShardPlan:
        """The plan of one shard."""
        return ShardPlan.from_text(storage.read_text(self._plan_file(name)))

    def refused_keys(self) -> set[int]:
        """Keys of the pictures that were refused at planning."""
        return set(json.loads(storage.read_text(os.path.join(self.root, "refused.json"))))

    def report(self, name: str) -> ShardReport | None:
        """The marker of a shard whose files are all there; None if it is to be built."""
        try:
            text = storage.read_text(self._done_file(name))
        except (OSError, ValueError):
            return None
        return standing(text, lambda file: storage.size(os.path.join(self.dataset, file)))

    def reports(self, names: Sequence[str]) -> dict[str, ShardReport]:
        """report() of each of these shards that is done. Of objects one listing tells the sizes
        and the markers come side by side: a request a file would take minutes.
        """
        if not storage.is_remote(self.dataset):
            found = {name: self.report(name) for name in names}
        else:
            listing = storage.tree(self.dataset)
            texts = storage.read_many(self._done_file(name) for name in names)
            found = {
                name: standing(text, lambda file: listing[file].size)
                for name, text in zip(names, texts, strict=True)
                if isinstance(text, bytes)
            }
        return {name: report for name, report in found.items() if report is not None}

    def commit(self, name: str, report: ShardReport) -> None:
        """Marks a shard as finished; its files are whole and synced before. Their names are
        synced here, so that a marker that outlived a power cut never speaks of files that did not.
        """
        folders = {self.dataset}
        for shard in report.shards:
            folder = os.path.dirname(shard.file)
            while folder:
                folders.add(os.path.join(self.dataset, folder))
                folder = os.path.dirname(folder)
        storage.sync_folders(folders)
        storage.write_text(self._done_file(name), report.to_json())

    def marker_times(self) -> dict[str, int]:
        """A number by the name of each shard that has a marker; it changes with the marker."""
        found = storage.tree(os.path.join(self.root, "done"))
        return {
            name.removesuffix(".json"): info.version
            for name, info in found.items()
            if name.endswith(".json")
        }

    def note(self, name: str, text: str) -> None:
        """Leaves word of how far a shard is, on a local disk; elsewhere it would be an upload each.
        Nothing depends on it, so it is not synced.
        """
        if not storage.is_remote(self.dataset):
            storage.write_unsynced({self._note_file(name): lambda: text})

    def noted(self, name: str) -> str:
        """What was last noted of a shard; empty if there is no word."""
        if not storage.is_remote(self.dataset):
            with contextlib.suppress(OSError):
                return storage.read_text(self._note_file(name))
        return ""

    def forget(self, name: str) -> None:
        """Takes the note of a shard away."""
        if not storage.is_remote(self.dataset):
            storage.remove(self._note_file(name))

    def withdraw_marker(self, name: str) -> None:
        """Takes a marker away before its shard's files are replaced: between the first and the
        last of them it would speak for a mixture.
        """
        if storage.exists(self._done_file(name)):
            storage.remove(self._done_file(name))
            storage.sync_folders([os.path.join(self.root, "done")])

    def withdraw_manifest(self) -> None:
        """Takes an earlier manifest away: readers refuse the directory from here on, and those of
        tensorflow-datasets, which know no manifest, too.
        """
        for name in (MANIFEST_FILE, *TFDS_FILES):
            storage.remove(os.path.join(self.dataset, name))
        storage.sync_folders([self.dataset])

    def keep_only(self, kept: Mapping[str, ShardReport]) -> None:
        """Withdraws every other marker, those of an earlier plan's shards among them, and lets
        each say what is kept of its shard and no more.
        """
        done = os.path.join(self.root, "done")
        keep = {os.path.basename(self._done_file(name)) for name in kept}
        for marker in storage.names(done):
            if marker not in keep:
                storage.remove(os.path.join(done, marker))
        if kept:
            storage.sync_folders([done])
        for name, report in self.reports(list(kept)).items():
            if report != kept[name]:
                self.commit(name, kept[name])

    def _plan_file(self, name: str) -> str:
        return os.path.join(self.root, "plan", f"{name}.jsonl")

    def _note_file(self, name: str) -> str:
        return os.path.join(self.root, "progress", name)

    def _done_file(self, name: str) -> str:
        return os.path.join(self.root, "done", f"{name}.json")
