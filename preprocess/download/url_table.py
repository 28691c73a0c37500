"""A table of URLs -> pictures, and a table of those that came, for `preprocess build`."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import io
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from preprocess import storage
from preprocess.download import schedule
from preprocess.download.picture_store import FOLDER, LOG_FILE, Log, Wanted, opened_log, save
from preprocess.download.web_client import PRIVATE_ADDRESS, FetchError, Limits, fetch, host_of
from preprocess.shell.cli import say
from preprocess.shell.csv_cells import safe_cells
from preprocess.shell.errors import DataError, OutputError, UsageError, full_disk
from preprocess.shell.progress import progress
from preprocess.sources import google_fec
from preprocess.sources.tables import Table

TABLE_FILE = "labels.csv"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_FACES = ("face1", "face2", "face3")


@dataclasses.dataclass(frozen=True)
class UrlRequest:
    """What `preprocess fetch --csv` was asked for."""

    csv: str
    output: str
    limits: Limits
    columns: tuple[tuple[str, str], ...] = ()
    csv_encoding: str = ""
    workers: int = 32
    per_host: int = 4
    limit: int = 0  # rows; 0 = all
    retry_failed: bool = False


@dataclasses.dataclass
class _Plan:
    """What the table asks for."""

    by_url: dict[str, list[Wanted]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    rows: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)  # id, label, split
    refused: int = 0
    is_fec: bool = False


def fetch_urls(request: UrlRequest) -> dict[str, Any]:
    """Downloads what is missing and writes the table of what is there. Returns what
    `fetch --json` prints; raises DataError if nothing came.

    A second one into the same folder waits for the first: its lines in the log would be lost to
    the other, which would ask for the same pictures under the same temporary names.
    """
    started = time.monotonic()
    if storage.is_remote(request.output):
        raise UsageError("--output is a local folder; `preprocess build` writes to gs://")
    plan = _read(request)
    with contextlib.ExitStack() as stack:
        try:
            log = stack.enter_context(opened_log(request.output))
        except OSError as error:
            raise UsageError(f"--output='{request.output}': {error.strerror}") from None
        return _fetched(plan, log, request, started)


def _fetched(plan: _Plan, log: Log, request: UrlRequest, started: float) -> dict[str, Any]:
    try:
        before = _download(plan, log, request)
    except OSError as error:
        if reason := full_disk(error):
            raise OutputError(f"{reason}: '{request.output}'; the same command continues") from None
        raise
    files = {image_id: str(o["file"]) for image_id, o in log.outcomes.items() if "file" in o}
    wanted = {w.id for several in plan.by_url.values() for w in several}
    there = wanted & files.keys()
    if not plan.is_fec:
        rows = [row for row in plan.rows if row[0] in files]
        storage.write_text(os.path.join(request.output, TABLE_FILE), _table(rows, files))
    lost = [str(log.outcomes[w]["reason"]) for w in wanted - there if w in log.outcomes]
    failed = schedule.by_reason(lost)
    summary = {
        "pictures": len(wanted),
        "fetched": len(there) - before,
        "already_there": before,
        "failed": failed,
        "refused_rows": plan.refused,
        "table": "" if plan.is_fec else os.path.join(request.output, TABLE_FILE),
        "images": os.path.join(request.output, FOLDER),
        "seconds": round(time.monotonic() - started, 3),
    }
    if not there:
        raise DataError(
            f"none of {len(wanted)} pictures could be downloaded: "
            f"{', '.join(f'{count} {reason}' for reason, count in failed.items())[:200]}\n"
            f"see {os.path.join(request.output, LOG_FILE)}"
        )
    return summary


def _read(request: UrlRequest) -> _Plan:
    table = Table(
        request.csv,
        required=("url",),
        optional=("id", "label", "split"),
        columns=request.columns,
        encoding=request.csv_encoding,
        foreign=lambda cells: _face_cells if google_fec.recognise(cells) else None,
    )
    plan = _Plan()
    known: set[tuple[str, str]] = set()
    for row in table.rows():
        if request.limit and len(plan.rows) >= request.limit:
            break
        cells = row.cells
        if table.is_foreign:
            plan.is_fec = True
            plan.rows.append(("", "", ""))
            for face in (google_fec.face(cells[name].split("\n")) for name in _FACES):
                if (face.url, face.id) not in known:
                    known.add((face.url, face.id))
                    plan.by_url[face.url].append(Wanted(face.id, face.box))
            continue
        image_id = _id(cells["url"], cells.get("id", ""))
        plan.rows.append((image_id, cells.get("label", ""), cells.get("split", "")))
        if (cells["url"], image_id) not in known:
            known.add((cells["url"], image_id))
            plan.by_url[cells["url"]].append(Wanted(image_id))
    for warning in table.warnings:
        say(f"warning: {warning}")
    plan.refused = len(table.rejections)
    for rejection in table.rejections[:2]:
        say(f"refused: line {rejection.line}: {rejection.reason}: {rejection.detail}")
    if not plan.by_url:
        raise DataError(f"'{request.csv}' has no rows with a URL")
    return plan


def _face_cells(cells: list[str]) -> dict[str, str]:
    """Google's rows: URL and box of each face, checked; raises Refused."""
    google_fec.cells_by_name(cells)
    width = google_fec.FACE_CELLS
    return {name: "\n".join(cells[n * width : (n + 1) * width]) for n, name in enumerate(_FACES)}


def _id(url: str, given: str) -> str:
    """A file's name without suffix: the table's id where it is a plain name, else with a hash."""
    stem = os.path.splitext(given)[0]
    if stem and _PLAIN.fullmatch(stem):
        return stem
    hashed = hashlib.sha256(f"{given} {url}".encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")[:40]
    return f"{readable}-{hashed}" if readable else hashed


def _download(plan: _Plan, log: Log, request: UrlRequest) -> int:
    """Downloads what is not settled; returns how many pictures were there before."""
    todo: list[schedule.Task[tuple[str, list[Wanted]]]] = []
    retry = None if request.retry_failed else [PRIVATE_ADDRESS] * request.limits.allow_private
    before = failed = 0
    for url, several in plan.by_url.items():
        open_ = [w for w in several if not log.is_settled(w.id, retry)]
        before += sum("file" in log.outcomes[w.id] for w in several if w not in open_)
        try:
            if open_:
                todo.append(schedule.Task(host_of(url), (url, open_)))
        except FetchError as error:
            _note(log, open_, error)

    def work(task: tuple[str, list[Wanted]]) -> list[tuple[Wanted, tuple[str, int] | FetchError]]:
        content = fetch(task[0], request.limits)
        return [(wanted, _saved(content, wanted, log)) for wanted in task[1]]

    if before:
        say(f"{before} pictures have been downloaded already")
    say(f"fetching {len(todo)} URLs of {len({task.host for task in todo})} hosts")
    with progress(len(todo), " URLs", "fetching") as bar:
        for (_, open_), result in schedule.run(todo, work, request.workers, request.per_host):
            if isinstance(result, FetchError):
                failed += len(open_)
                if failed <= 2:
                    say(f"failed: {open_[0].id}: {result}")
                _note(log, open_, result)
            else:
                for wanted, saved in result:
                    if isinstance(saved, FetchError):
                        failed += 1
                        if failed <= 2:
                            say(f"failed: {wanted.id}: {saved}")
                        _note(log, [wanted], saved)
                    else:
                        log.note(wanted.id, file=saved[0], bytes=saved[1])
            bar.set_postfix(failed=failed, refresh=False)
            bar.update(1)
    return before


def _saved(content: bytes, wanted: Wanted, log: Log) -> tuple[str, int] | FetchError:
    try:
        return save(content, wanted, log)
    except FetchError as error:
        return error


def _note(log: Log, several: Iterable[Wanted], error: FetchError) -> None:
    for wanted in several:
        log.note(wanted.id, reason=error.reason, detail=error.detail, passing=error.passing)


def _table(rows: list[tuple[str, str, str]], files: dict[str, str]) -> str:
    """path,label[,split] of the pictures that are there, each row once."""
    with_split = any(split for *_, split in rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", *(["split"] if with_split else [])])
    for image_id, label, split in dict.fromkeys(rows):
        cells = [f"{FOLDER}/{files[image_id]}", label, *([split] if with_split else [])]
        writer.writerow(safe_cells(cells))
    return text.getvalue()
