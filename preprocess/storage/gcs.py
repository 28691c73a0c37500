"""Objects on Google Cloud Storage: what `local.py` does with files, done with objects."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BufferedIOBase
from typing import Any, TypeVar

import google_crc32c
from google.api_core import exceptions as api
from google.resumable_media import DataCorruption

from preprocess.shell.errors import StorageError
from preprocess.storage import gcs_connection as connection
from preprocess.storage.contract import Info

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 3  # from the start, at what broke beyond what the library's own retries can mend

# The session of a long upload is out of step or bytes were changed on the way, or it is gone: to
# be started again. (It is not the bucket that is gone: connection.bucket() has looked.)
_ANEW = (400, 404, 410)
_BLOCK = 1 << 20  # bytes hashed at a time


def normal(path: str) -> str:
    """The path without slashes at its end; raises UsageError for one that names no bucket."""
    bucket, name = connection.split(path)
    return f"gs://{bucket}/{name}".rstrip("/")


def make_folder(path: str) -> None:
    """Nothing to make, but a bucket that is not there is an error here as it is there."""
    connection.bucket(path)


def names(folder: str) -> list[str]:
    """Names of the objects and prefixes directly below a prefix."""
    bucket, prefix = connection.bucket(folder), connection.prefix(folder)
    with connection.explained(folder):
        found = bucket.client.list_blobs(
            bucket, prefix=prefix, delimiter="/", **connection.patiently()
        )
        below = {blob.name[len(prefix) :] for blob in found}
    below.update(name[len(prefix) :].rstrip("/") for name in found.prefixes)
    return sorted(filter(None, below))


def tree(folder: str) -> Iterator[tuple[str, Info]]:
    """(name relative to the prefix, what is known) of every object below it."""
    bucket, prefix = connection.bucket(folder), connection.prefix(folder)
    with connection.explained(folder):
        found = bucket.client.list_blobs(
            bucket,
            prefix=prefix,
            fields="items(name,size,generation,crc32c),nextPageToken",
            **connection.patiently(),
        )
        for blob in found:
            # Consoles make empty objects that stand for folders.
            if not blob.name.endswith("/"):
                yield blob.name[len(prefix) :], _info(blob)


def known(path: str) -> Any:
    """The google.cloud.storage.Blob of an object; raises FileNotFoundError."""
    blob = connection.blob(path)
    with connection.explained(path):
        blob.reload(**connection.patiently())
    return blob


def size(path: str) -> int:
    """Bytes of an object."""
    return int(known(path).size or 0)


def stat(path: str) -> Info:
    """What is known of an object."""
    return _info(known(path))


def read(path: str, offset: int, length: int | None) -> bytes:
    """`length` bytes from `offset` on; None = to the end."""
    if length == 0:
        return b""
    with connection.explained(path):
        try:
            data = connection.blob(path).download_as_bytes(
                start=offset or None,
                end=None if length is None else offset + length - 1,
                **connection.patiently(),
                checksum="crc32c",
            )
        except api.RequestRangeNotSatisfiable:  # no byte there, such as in an empty object
            return b""
    return bytes(data)


def open_read(path: str) -> BufferedIOBase:
    """The object in a temporary file without a name, its checksum checked."""
    # Closed by the caller, and by the first error here.
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        download(path, stat(path), file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def download(path: str, info: Info, file: BufferedIOBase) -> None:
    """Writes exactly the generation of an object that `info` tells of, and checks its checksum.

    A connection that drops is picked up where it broke; the library checks no checksum of what
    came in pieces, so it is done here. Raises FileNotFoundError if this generation is no more,
    StorageError where the bytes are wrong thrice.
    """
    blob = connection.bucket(path).blob(connection.split(path)[1], generation=info.version)
    for _ in range(ATTEMPTS):
        file.seek(0)
        file.truncate()
        with connection.explained(path):
            try:
                blob.download_to_file(file, **connection.patiently(), checksum=None)
            except DataCorruption:
                continue
        file.flush()
        # What was uploaded compressed comes out unpacked; the checksum is of the packed bytes.
        if blob.content_encoding or not info.crc32c or crc32c(file) == info.crc32c:
            return
    raise StorageError(f"'{path}': the data received does not match the object's checksum")


def crc32c(file: BufferedIOBase) -> str:
    """CRC-32C of a whole file, as an object's metadata has it: base64 of 4 big-endian bytes."""
    file.seek(0)
    checksum = google_crc32c.Checksum()
    while block := file.read(_BLOCK):
        checksum.update(block)
    return base64.b64encode(checksum.digest()).decode("ascii")


def upload(
    path: str, file: BufferedIOBase, generation: int | None = None, checksum: str | None = None
) -> int:
    """Puts a file's content under its final name, in one go; the storage refuses it where the
    bytes that arrive do not have our checksum.

    Args:
      path: of the object.
      file: read from its start to its end.
      generation: of the object that is to be replaced, 0 = there must be none; None = whatever.
      checksum: crc32c(file), where it is known already.

    Returns:
      the new generation.

    Raises:
      google.api_core.exceptions.PreconditionFailed: another generation is there.
    """
    blob = connection.blob(path)
    checksum = checksum or crc32c(file)
    length = file.seek(0, os.SEEK_END)
    for attempt in range(1, ATTEMPTS + 1):
        blob.crc32c = checksum
        with connection.explained(path):
            try:
                blob.upload_from_file(
                    file,
                    rewind=True,
                    size=length,
                    content_type="application/octet-stream",
                    if_generation_match=generation,
                    **connection.patiently(),
                    checksum=None,  # by the storage, before the object appears
                )
                return int(blob.generation or 0)
            except api.ClientError as error:
                if error.code not in _ANEW or attempt == ATTEMPTS:
                    raise
    raise AssertionError("unreachable")


class Pending:
    """What is to become an object, gathered in a temporary file without a name."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.file: BufferedIOBase = tempfile.TemporaryFile()  # noqa: SIM115

    def publish(self) -> None:
        """Uploads it."""
        self.file.flush()
        upload(self._path, self.file)
        self.file.close()

    def discard(self) -> None:
        """Closes the temporary file, which goes with that."""
        with contextlib.suppress(OSError):
            self.file.close()


create = Pending


def sync_folders(folders: Iterable[str]) -> None:
    """An object that can be seen is there to stay."""


def write_unsynced(files: Mapping[str, Callable[[], str]]) -> None:
    """Uploads small texts side by side."""

    def put(item: tuple[str, Callable[[], str]]) -> None:
        path, text = item
        upload(path, io.BytesIO(text().encode("utf-8")))

    in_parallel(put, files.items())


def remove(path: str, generation: int | None = None) -> None:
    """Removes an object (of this generation only, or PreconditionFailed is raised); harmless if
    there is none.
    """
    blob = connection.blob(path)
    with connection.explained(path), contextlib.suppress(api.NotFound):
        blob.delete(if_generation_match=generation, **connection.patiently())


def remove_tree(folder: str) -> None:
    """Removes every object below a prefix."""
    in_parallel(remove, [f"{normal(folder)}/{name}" for name, _ in tree(folder)])


def remove_empty_folders(folder: str) -> None:
    """There are none."""


def in_parallel(
    call: Callable[[T], R], items: Iterable[T], at_a_time: int = connection.THREADS
) -> list[R]:
    """The result of a function for each item. At the first error no more are begun, and it is
    raised when those under way are done (Ctrl-C waits for none).
    """
    pool = ThreadPoolExecutor(at_a_time, "storage")
    futures = [pool.submit(call, item) for item in items]
    try:
        results = [future.result() for future in futures]
    except BaseException as error:
        pool.shutdown(wait=not isinstance(error, KeyboardInterrupt), cancel_futures=True)
        raise
    pool.shutdown()
    return results


def _info(blob: Any) -> Info:
    return Info(blob.size or 0, blob.generation or 0, blob.crc32c or "")
