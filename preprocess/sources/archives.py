"""Archives instead of a picture folder: .zip, .tar and .tar.gz, read without unpacking them.

An archive is listed once; a picture is then a `Place` in it. Nothing is ever written under a name
from an archive; still, names that climb out of it, links out of it and devices are rejected, as
they would not be in the folder after unpacking. The unpacked size of a member is limited as for any
picture, and an archive by counts and ratio, before any of it is in memory.
"""

from __future__ import annotations

import functools
import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from gzip import BadGzipFile, GzipFile
from io import BufferedIOBase
from typing import Any, NamedTuple

from preprocess import storage
from preprocess.shell.errors import DataError
from preprocess.sources.gzip_spans import GZIP_SPAN
from preprocess.sources.places import Place
from preprocess.sources.refusals import Reason
from preprocess.sources.spans import DEFLATED, SPAN

MAX_MEMBERS = 5_000_000  # a listing of them takes some gigabytes
MAX_RATIO = 200  # unpacked to packed; pictures are compressed already
MAX_UNCHECKED_BYTES = 1 << 30  # unpacked size up to which the ratio is not checked
MAX_HEADER_BYTES = 16 << 20  # of a tar member; names of gigabytes would be read completely

ZIP, TAR, TAR_GZ = "zip", "tar", "tar.gz"
_TAR_MAGIC_AT = 257
_OTHERS = (
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_GZIP = b"\x1f\x8b"
_METHODS = {zipfile.ZIP_STORED: 0, zipfile.ZIP_DEFLATED: 1}


class Member(NamedTuple):
    """A file in an archive: its location, or why it is rejected."""

    place: str  # the text of a Place; "" if it is rejected
    reason: str = ""
    detail: str = ""


class Listing(NamedTuple):
    """The content of an archive."""

    members: dict[str, Member]  # by name, `/` between folders
    outside: list[str]  # names that would lead out of the folder when unpacked


def split_path(path: str) -> tuple[str, str] | None:
    """The path of an archive and a folder in it, for a path such as `beans.zip/beans/train`; None
    if `path` does not lead to or into an archive.
    """
    if storage.is_remote(path):
        archive, separator, below = path.partition(".zip/")
        if separator:
            return f"{archive}.zip", below.strip("/")
        return (path, "") if path.endswith((".zip", ".tar")) else None
    archive, below = os.path.abspath(path), ""
    while not os.path.lexists(archive) and os.path.dirname(archive) != archive:
        archive, name = os.path.split(archive)
        below = posixpath.join(name, below)
    if not os.path.isfile(archive) or not kind_of(archive):
        return None
    return archive, below.strip("/")


def kind_of(path: str) -> str:
    """ZIP, TAR or TAR_GZ by the file's first bytes, "" for other files. Raises DataError for
    archives that are not supported.
    """
    try:
        head = storage.read_bytes(path, _TAR_MAGIC_AT + 8)
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from None
    for magic, name in _OTHERS:
        if head.startswith(magic):
            raise DataError(
                f"'{path}' is a {name} archive; only .zip, .tar and .tar.gz are supported: unpack "
                "it, or repack it"
            )
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not path.endswith(".npz"):
        return ZIP
    lower = path.lower()
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar" or lower.endswith(".tar"):
        return TAR
    return TAR_GZ if head.startswith(_GZIP) and lower.endswith((".tar.gz", ".tgz")) else ""


def list_members(path: str) -> Listing:
    """The content of an archive. Raises DataError for one that is damaged, or designed to exhaust
    its reader.
    """
    try:
        return _listed(path, storage.stat(path))
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from None


@functools.lru_cache(maxsize=1)  # opened to recognise the source, and again to read it
def _listed(path: str, version: storage.Info) -> Listing:
    kind = kind_of(path)
    if kind == TAR_GZ and storage.is_remote(path):
        raise DataError(f"'{path}': a .tar.gz must be on a local disk; copy it, or use .tar")
    listing = Listing({}, [])
    try:
        with storage.open_read(path) as file:
            members = _of_zip(path, file) if kind == ZIP else _of_tar(path, file, kind)
            for name, member in members:
                _enter(listing, name, member)
                if len(listing.members) + len(listing.outside) > MAX_MEMBERS:
                    raise DataError(
                        f"'{path}' has more than {MAX_MEMBERS} members; unpack it into a folder"
                    )
    except (tarfile.TarError, zipfile.BadZipFile, BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"'{path}' is damaged: {error}") from None
    except (NotImplementedError, ValueError, OverflowError) as error:
        raise DataError(f"'{path}' cannot be read: {error}") from None
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from None
    return listing


def _enter(listing: Listing, name: str, member: Member) -> None:
    """Adds a member under a normalised name; of equal names the last one counts, as when an archive
    is unpacked.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        listing.outside.append(name)
    elif parts:
        listing.members["/".join(parts)] = member


def _of_zip(path: str, file: BufferedIOBase) -> Iterator[tuple[str, Member]]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise DataError(f"'{path}' has more than {MAX_MEMBERS} members; unpack it into a folder")
    _check_overlaps(path, members)
    for info in members:
        if info.is_dir():
            continue
        # Old Windows tools write backslashes between folders.
        name = info.filename if "/" in info.filename else info.filename.replace("\\", "/")
        yield name, _zip_member(path, info)


def _zip_member(path: str, info: zipfile.ZipInfo) -> Member:
    if info.create_system == 3 and stat.S_ISLNK(info.external_attr >> 16):
        return Member("", Reason.OUTSIDE_FOLDER, "a symbolic link in an archive")
    if info.flag_bits & 1:
        return Member("", Reason.UNREADABLE_FILE, "encrypted in the archive")
    if info.compress_type not in _METHODS:
        detail = f"compressed by zip method {info.compress_type}; only stored and deflated are read"
        return Member("", Reason.UNREADABLE_FILE, detail)
    detail = f"{info.header_offset},{info.compress_size},{_METHODS[info.compress_type]}"
    return Member(Place(DEFLATED, info.file_size, detail, path).text)


def _check_overlaps(path: str, members: Iterable[zipfile.ZipInfo]) -> None:
    """Rejects members that share bytes, with which a small archive unpacks to a petabyte."""
    end = 0
    for offset, stored in sorted((m.header_offset, m.compress_size) for m in members):
        if offset < end:
            raise DataError(f"'{path}' is rejected: its members overlap, as in a zip bomb")
        end = offset + 30 + stored


def _of_tar(path: str, file: BufferedIOBase, kind: str) -> Iterator[tuple[str, Member]]:
    packed = file.seek(0, os.SEEK_END)
    file.seek(0)
    plain = GzipFile(fileobj=file) if kind == TAR_GZ else file
    most = max(packed * MAX_RATIO, MAX_UNCHECKED_BYTES) if kind == TAR_GZ else packed
    reader = _Guarded(path, plain, most)
    item_kind = GZIP_SPAN if kind == TAR_GZ else SPAN
    names: dict[str, Member] = {}
    stream: Any = reader  # implements the part of a file's interface that tarfile reads with
    archive: Any
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        while (info := archive.next()) is not None:
            archive.members = []  # otherwise tarfile keeps them all
            if info.isdir():
                continue
            member = _tar_member(path, info, item_kind, names)
            names[info.name] = member
            yield info.name, member


def _tar_member(path: str, info: tarfile.TarInfo, kind: str, names: dict[str, Member]) -> Member:
    if info.islnk():  # to an earlier member
        missing = Member("", Reason.OUTSIDE_FOLDER, "a link to a file that is not in the archive")
        return names.get(info.linkname, missing)
    if info.issym():
        return Member("", Reason.OUTSIDE_FOLDER, "a symbolic link in an archive")
    if not info.isreg() or info.sparse is not None:
        return Member("", Reason.UNREADABLE_FILE, "not a regular file")
    return Member(Place(kind, info.size, str(info.offset_data), path).text)


class _Guarded:
    """A file for tarfile with limits: on how far it seeks, and how much it reads at once."""

    def __init__(self, path: str, file: BufferedIOBase | GzipFile, most: int) -> None:
        self._path = path
        self._file = file
        self._most = most

    def read(self, size: int) -> bytes:
        """As file.read; raises DataError for more than any header has."""
        if size > MAX_HEADER_BYTES:
            raise DataError(f"'{self._path}' is rejected: it has a header of {size} bytes")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        """As file.seek; raises DataError beyond what the file can contain."""
        if position > self._most:
            raise DataError(
                f"'{self._path}' is truncated, or made to unpack to more than {MAX_RATIO} times "
                "its size"
            )
        return self._file.seek(position)

    def tell(self) -> int:
        """As file.tell."""
        return self._file.tell()
