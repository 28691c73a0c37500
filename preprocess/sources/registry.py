"""Finds the source that reads the input, from --source or from the input itself."""

from __future__ import annotations

import codecs
from collections.abc import Mapping

from preprocess import storage
from preprocess.shell.errors import DataError, UsageError
from preprocess.shell.nearest import did_you_mean
from preprocess.shell.references import is_reference, load_reference
from preprocess.sources.label_tables import likely_columns, one_hot_remedy
from preprocess.sources.rows import Request
from preprocess.sources.source_kind import Evidence, SourceKind
from preprocess.sources.tables import looks_like_data

_EXCELS = " --csv_encoding=cp1252 (its text is not UTF-8, as from Excel in Western Europe)"
_HEAD_BYTES = 1 << 20


def find_source(name: str, sources: Mapping[str, SourceKind]) -> SourceKind:
    """The source of this name, or a user's own by reference. Raises UsageError."""
    if name in sources:
        return sources[name]
    if is_reference(name):
        return _imported(name)
    hint = did_you_mean(name, sources)
    raise UsageError(
        f"--source={name} is neither a source nor FILE.py:NAME of your own{hint}; sources are "
        f"{', '.join(sources)}"
    )


def recognise(request: Request, sources: Mapping[str, SourceKind]) -> tuple[SourceKind, str]:
    """The source that the input looks like, and the evidence.

    Raises UsageError if no source or more than one matches, DataError if none does because the
    table cannot be read.
    """
    evidence = Evidence(request)
    fitting: dict[str, str] = {}
    unreadable: DataError | None = None
    for name, kind in sources.items():
        try:
            if reason := kind.recognise(evidence):
                fitting[name] = reason
        except DataError as error:  # for this source; another one may read other formats than CSV
            unreadable = error
    fitting = {n: reason for n, reason in fitting.items() if not sources[n].fallback} or fitting
    if len(fitting) == 1:
        ((name, reason),) = fitting.items()
        return sources[name], reason
    if fitting:
        choices = " or ".join(f"--source={name} ({reason})" for name, reason in fitting.items())
        raise UsageError(f"the input matches more than one source; choose {choices}")
    if unreadable:
        raise unreadable
    if remedy := _columns_remedy(evidence):
        raise UsageError(
            f"--csv='{request.csv}' has the columns {', '.join(evidence.first_line)[:200]}{remedy}"
        )
    raise UsageError(
        f"the input is not recognised: {_described(evidence)}; set one of --source="
        f"{', --source='.join(sources)} (--help describes their layouts)"
    )


def _described(evidence: Evidence) -> str:
    request = evidence.request
    parts = []
    if looks_like_data(evidence.first_line):
        parts.append("--csv has no header, and needs --source and --columns with positions")
    elif request.csv:
        parts.append(f"--csv has the columns {', '.join(sorted(evidence.columns))[:200]}")
    if request.images:
        count = len(evidence.files)
        parts.append(f"--images has {len(evidence.folders)} folders and {count} files")
    return "; ".join(parts) or "neither --csv nor --images is set"


def _columns_remedy(evidence: Evidence) -> str:
    """Flags that would tell which columns of a table have what, and its encoding if needed; "" if
    that is not what is missing.
    """
    request, names = evidence.request, evidence.first_line
    if request.columns or looks_like_data(names):
        return ""
    likely = likely_columns(request.csv, names, request.csv_encoding)
    if likely is None:
        return ""
    if likely.classes:
        return f", {one_hot_remedy(likely)}"
    encoding = "" if request.csv_encoding or _is_unicode(request.csv) else _EXCELS
    return (
        "; set which one has the picture and which its label, such as "
        f"--columns={likely.flag}{encoding}"
    )


def _is_unicode(path: str) -> bool:
    """Whether a table's beginning is UTF-8, or UTF-16 with its mark."""
    head = storage.read_bytes(path, _HEAD_BYTES)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _imported(name: str) -> SourceKind:
    kind = load_reference(name, "--source", UsageError)
    if not isinstance(kind, SourceKind):
        raise UsageError(f"--source={name} is a {type(kind).__name__}, not a SourceKind")
    return kind
