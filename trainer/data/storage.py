"""Reading files by path or by address: local files directly, `gs://...` through TensorFlow.

An address has a scheme (`gs://bucket/dataset`); TensorFlow's file systems read it. A request to
object storage costs tens of milliseconds whatever its size, so reads from there are few and large.

TensorFlow is imported when an address is read: local files do not need it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from preprocess.dataset_format import MANIFEST_FILE, DatasetError, Manifest
from preprocess.shell.errors import DataError, StorageError
from preprocess.shell.probe import PROBE_SECONDS, probe
from preprocess.shell.regular_files import FileTooLargeError, read_regular
from preprocess.shell.tensorflow_text import error_reason

FIRST_READ_SECONDS = 60.0  # of the manifest, including credentials; TensorFlow has no limit
REQUESTS_AT_ONCE = 16
# For reading a shard from front to back. TensorFlow's default of 256 kB makes a request each.
STREAM_BYTES = 8 << 20

T = TypeVar("T")
R = TypeVar("R")


def is_address(path: str) -> bool:
    """Whether a path has a scheme, such as gs://."""
    return "://" in path


def absolute(path: str) -> str:
    """A path that is valid from other folders as well."""
    return path if is_address(path) else os.path.abspath(path)


def stream_bytes(path: str) -> int | None:
    """The buffer size for a reader that reads a file sequentially; None = its default."""
    return STREAM_BYTES if is_address(path) else None


def read_bytes(path: str) -> bytes:
    """A whole file; from object storage in one request.

    Raises:
      DataError: there is no such file, or it cannot be read.
      StorageError: the storage does not respond.
    """
    if is_address(path):
        return _from_address(path, lambda tf: tf.io.read_file(path).numpy())
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise problem(path, error) from None


def read_small(path: str, limit: int) -> bytes:
    """The same of a file that another program may be writing: a regular one of at most `limit`
    bytes, else DataError.
    """
    if not is_address(path):
        try:
            return read_regular(path, limit)
        except OSError as error:
            raise problem(path, error) from None
    if (length := size(path)) > limit:
        raise problem(path, FileTooLargeError(path, length, limit))
    return read_bytes(path)


def check_inside(folder: str, files: Iterable[str]) -> None:
    """Raises DataError if one of the files of a local folder is reached by a link that leads out of
    it, or is no regular file: opening a pipe would wait forever.
    """
    if is_address(folder):
        return
    root = os.path.realpath(folder)
    for file in files:
        path = os.path.join(folder, file)
        if os.path.commonpath([root, os.path.realpath(path)]) != root:
            raise DataError(f"'{path}' is reached by a link that leads outside of '{folder}'")
        if os.path.lexists(path) and not os.path.isfile(path):
            raise DataError(f"'{path}' is not a regular file")


def read_range(path: str, start: int, stop: int) -> bytes:
    """Bytes start to stop of a file at an address; raises as read_bytes does."""

    def read(tf: Any) -> bytes:
        with tf.io.gfile.GFile(path, "rb") as file:
            file.seek(start)
            content: bytes = file.read(stop - start)
            return content

    return _from_address(path, read)


def size(path: str) -> int:
    """Bytes of a file; raises as read_bytes does."""
    if is_address(path):
        return _from_address(path, lambda tf: int(tf.io.gfile.stat(path).length))
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise problem(path, error) from None


def exists(path: str) -> bool:
    """Whether there is such a file; raises as read_bytes does."""
    if is_address(path):
        return _from_address(path, lambda tf: bool(tf.io.gfile.exists(path)))
    return os.path.lexists(path)


def _from_address(path: str, read: Callable[[Any], T]) -> T:
    """The result of `read`, which gets the tensorflow module."""
    import tensorflow as tf

    try:
        return read(tf)
    except tf.errors.OpError as error:
        raise problem(path, error) from None


def problem(path: str, error: Exception) -> Exception:
    """The error for users, from one of the system or of TensorFlow."""
    if isinstance(error, OSError):
        return DataError(f"cannot read '{path}': {error.strerror or error}")
    words = error_reason(error)
    kind = type(error).__name__
    if not words:
        words = "no such file" if kind == "NotFoundError" else kind
    if kind in ("NotFoundError", "PermissionDeniedError") or not is_address(path):
        return DataError(f"cannot read '{path}': {words}")
    return StorageError(f"'{path}' does not respond: {words}")


def for_each(work: Callable[[T], R], items: Iterable[T], path: str) -> list[R]:
    """work(item) of each item, in order; at an address many at a time."""
    if not is_address(path):
        return [work(item) for item in items]
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return list(pool.map(work, items))


def read_manifest(dataset: str) -> Manifest:
    """The manifest of a dataset at an address.

    Raises:
      DataError: there is none, or access is denied.
      StorageError: the storage cannot be reached; raised within a minute, mostly within seconds.
    """
    try:
        path = f"{dataset.removesuffix('/').removesuffix('/' + MANIFEST_FILE)}/{MANIFEST_FILE}"
        check_reachable(path)
        return Manifest.from_json(_within(FIRST_READ_SECONDS, path).decode("utf-8"))
    except (DatasetError, UnicodeDecodeError) as error:
        raise DataError(str(error)) from None


def check_reachable(path: str) -> None:
    """Probes the server of gs:// itself: TensorFlow would retry silently for minutes."""
    if path.startswith("gs://"):
        url = f"https://storage.googleapis.com/{path.removeprefix('gs://')}"
        found = probe(url, PROBE_SECONDS)
        if found:
            raise StorageError(
                f"'{path}' cannot be reached ({found}); check the network, or copy the dataset "
                "here with `python -m preprocess fetch` and give that directory"
            )


def _within(seconds: float, path: str) -> bytes:
    """read_bytes() with a time limit, in a thread that is abandoned if it does not return."""
    found: list[Any] = []

    def read() -> None:
        try:
            found.append(read_bytes(path))
        except Exception as error:  # passed to the caller
            found.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise StorageError(
            f"'{path}': no response within {seconds:g} s; check the credentials "
            "(GOOGLE_APPLICATION_CREDENTIALS, or a service account of the machine)"
        )
    if isinstance(found[0], Exception):
        raise found[0]
    content: bytes = found[0]
    return content
