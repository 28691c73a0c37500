"""Detects a table's encoding, line ends and separator from its first bytes.

Handles what spreadsheets write: UTF-8 with or without a byte-order mark, UTF-16 with one, lines
ending with LF, CRLF or CR alone (Excel for Mac), `,` `;` `|` or tab between cells, a first line
`sep=;` (Excel). Windows-1252 cannot be distinguished from similar encodings: `--csv_encoding`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from preprocess.pictures.signatures import OLE, PARQUET, ZIP, described
from preprocess.shell.errors import DataError, UsageError

HEAD_BYTES = 64 * 1024
UTF_8 = "utf-8"

_SEPARATORS = ",;\t"  # the first one wins a tie; `|` only if none of them is in the header
_SEP_LINE = re.compile(rb'"?sep=([^\w"\s]|\t)"?', re.IGNORECASE)  # without its line end
# The longer mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAVE_AS_CSV = "; save it as CSV (UTF-8)"
_REMEDIES = {
    ZIP: _SAVE_AS_CSV,
    OLE: _SAVE_AS_CSV,
    PARQUET: "; if its rows contain pictures, pass it as --images",
}
# Python's codec error handler: bytes that cannot be decoded become lone surrogates, which no text
# has, so that a bad character rejects only its row and not the table.
_MARK_BAD = "shardline-mark-bad"
codecs.register_error(_MARK_BAD, lambda error: ("\udcff", getattr(error, "end", 0)))


class Dialect(NamedTuple):
    """The dialect of a table."""

    encoding: str  # a codec's name
    cr_line_ends: bool  # CR alone ends a line
    separator: str
    sep_line: bool  # the first line is `sep=X` and not the header


def recognise(head: bytes, path: str, encoding: str = "") -> Dialect:
    """The dialect of a table that begins with `head`.

    Args:
      head: its first HEAD_BYTES.
      path: its name, for messages.
      encoding: as set by the user; "" = by its byte-order mark, else UTF-8.

    Raises:
      DataError: it is not a table, or UTF-16 without a mark.
      UsageError: unknown encoding.
    """
    if kind := described(head):
        if kind == ZIP and path.lower().endswith((".xlsx", ".xlsm", ".ods")):
            raise DataError(f"'{path}' is a spreadsheet, not a CSV table{_SAVE_AS_CSV}")
        raise DataError(f"'{path}' is {kind}{_REMEDIES.get(kind, '')}")
    encoding = _known(encoding) if encoding else _marked(head, path)
    text = b"".join(as_utf8([head], encoding))
    crlf = text.count(b"\r\n")
    # Inside quotes Excel for Mac writes LF: the more frequent one ends lines.
    cr_line_ends = text.count(b"\r") - crlf > text.count(b"\n")
    lines = (text.replace(b"\r", b"\n") if cr_line_ends else text).lstrip(b"\r\n").split(b"\n", 1)
    header = lines[0].rstrip(b"\r")
    if sep := _SEP_LINE.fullmatch(header):
        return Dialect(encoding, cr_line_ends, sep[1].decode("latin-1"), True)
    shown = header.decode("latin-1")  # separators are ASCII in any of the encodings
    separator = max(_SEPARATORS, key=shown.count)
    if separator not in shown and "|" in shown:
        separator = "|"
    return Dialect(encoding, cr_line_ends, separator, False)


def as_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """A file's bytes in UTF-8, without a byte-order mark. What cannot be decoded is returned as
    bytes that are not UTF-8.
    """
    plain = iter(chunks) if encoding == UTF_8 else _transcoded(chunks, encoding)
    yield next(plain, b"").removeprefix(codecs.BOM_UTF8)
    yield from plain


def _transcoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(_MARK_BAD)
    for chunk in chunks:
        yield decoder.decode(chunk).encode(UTF_8, "surrogatepass")
    yield decoder.decode(b"", final=True).encode(UTF_8, "surrogatepass")


def _known(encoding: str) -> str:
    try:
        codec = codecs.lookup(encoding)
        "".encode(codec.name)  # raises for codecs that are not for text: hex, zip
        known = codec.incrementaldecoder is not None
    except (LookupError, ValueError):
        known = False
    if not known:
        raise UsageError(
            f"--csv_encoding='{encoding}' is not a text encoding; use, for example, cp1252 "
            "(Windows, Western Europe), cp1251 (Cyrillic), utf-8 or utf-16"
        )
    return codec.name


def _marked(head: bytes, path: str) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    start = head[:1024]
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = start[offset::2].count(0)
        if len(start) > 8 and zeros > 0.4 * len(start) / 2 and not start[1 - offset :: 2].count(0):
            raise DataError(
                f"'{path}' looks like UTF-16 without a byte-order mark; "
                f"set --csv_encoding={encoding}"
            )
    return UTF_8
