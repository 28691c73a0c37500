"""Objects on Google Cloud Storage, through google-cloud-storage.

Credentials are the application default ones (a service account of the machine or of Workload
Identity, GOOGLE_APPLICATION_CREDENTIALS, or gcloud's). With STORAGE_EMULATOR_HOST set, such as
http://localhost:9023, that emulator is spoken to, without credentials.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BufferedIOBase
from typing import Any, TypeVar

import google.auth
import google_crc32c
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from google.resumable_media import DataCorruption

from preprocess.errors import ConfigError, StorageError, UsageError
from preprocess.storage.contract import Info

T = TypeVar("T")
R = TypeVar("R")

THREADS = 32  # requests at a time in one process
# An outage of some minutes does not end a build of hours. The first request of all has to show
# soon whether there is a network, a bucket and the right to read it.
RETRY_SECONDS = 300.0
FIRST_RETRY_SECONDS = 10.0
RETRY = DEFAULT_RETRY  # after 1, 2, 4 ... up to 60 s, each shortened at random
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0  # of one attempt; READ between two bytes
ATTEMPTS = 3  # from the start, at what broke beyond what the library's own retries can mend

# The session of a long upload is out of step or bytes were changed on the way, or it is gone: to
# be begun anew. (It is not the bucket that is gone: _bucket() has looked.)
_ANEW = (400, 404, 410)
_TIMEOUT = (CONNECT_SECONDS, READ_SECONDS)
_BLOCK = 1 << 20  # bytes hashed at a time
_PATH = re.compile(r"gs://([a-z0-9][-_.a-z0-9]{1,220}[a-z0-9])(?:/(.*))?", re.DOTALL)
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


def normal(path: str) -> str:
    """The path without slashes at its end; raises UsageError for one that names no bucket."""
    bucket, name = _split(path)
    return f"gs://{bucket}/{name}".rstrip("/")


def make_folder(path: str) -> None:
    """Nothing to make, but a bucket that is not there is an error here as it is there."""
    _bucket(path)


def names(folder: str) -> list[str]:
    """Names of the objects and prefixes directly below a prefix."""
    bucket, prefix = _bucket(folder), _prefix(folder)
    with _explained(folder):
        found = bucket.client.list_blobs(
            bucket, prefix=prefix, delimiter="/", retry=_patient(), timeout=_TIMEOUT
        )
        below = {blob.name[len(prefix) :] for blob in found}
    below.update(name[len(prefix) :].rstrip("/") for name in found.prefixes)
    return sorted(filter(None, below))


def tree(folder: str) -> Iterator[tuple[str, Info]]:
    """(name relative to the prefix, what is known) of every object below it."""
    bucket, prefix = _bucket(folder), _prefix(folder)
    with _explained(folder):
        found = bucket.client.list_blobs(
            bucket,
            prefix=prefix,
            fields="items(name,size,generation,crc32c),nextPageToken",
            retry=_patient(),
            timeout=_TIMEOUT,
        )
        for blob in found:
            # Consoles make empty objects that stand for folders.
            if not blob.name.endswith("/"):
                yield blob.name[len(prefix) :], _info(blob)


def known(path: str) -> Any:
    """The google.cloud.storage.Blob of an object; raises FileNotFoundError."""
    blob = _blob(path)
    with _explained(path):
        blob.reload(retry=_patient(), timeout=_TIMEOUT)
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
    with _explained(path):
        try:
            data = _blob(path).download_as_bytes(
                start=offset or None,
                end=None if length is None else offset + length - 1,
                retry=_patient(),
                timeout=_TIMEOUT,
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
    came in pieces, so it is done here. Raises FileNotFoundError where this generation is no more,
    StorageError where the bytes are wrong thrice.
    """
    blob = _bucket(path).blob(_split(path)[1], generation=info.version)
    for _ in range(ATTEMPTS):
        file.seek(0)
        file.truncate()
        with _explained(path):
            try:
                blob.download_to_file(file, retry=_patient(), timeout=_TIMEOUT, checksum=None)
            except DataCorruption:
                continue
        file.flush()
        # What was uploaded compressed comes out unpacked; the checksum is of the packed bytes.
        if blob.content_encoding or not info.crc32c or crc32c(file) == info.crc32c:
            return
    raise StorageError(f"'{path}': what arrives does not have the object's checksum")


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
    blob = _blob(path)
    checksum = checksum or crc32c(file)
    length = file.seek(0, os.SEEK_END)
    for attempt in range(1, ATTEMPTS + 1):
        blob.crc32c = checksum
        with _explained(path):
            try:
                blob.upload_from_file(
                    file,
                    rewind=True,
                    size=length,
                    content_type="application/octet-stream",
                    if_generation_match=generation,
                    retry=_patient(),
                    timeout=_TIMEOUT,
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
    """Removes an object (of this generation only, or PreconditionFailed is raised); harmless where
    there is none.
    """
    blob = _blob(path)
    with _explained(path), contextlib.suppress(api.NotFound):
        blob.delete(if_generation_match=generation, retry=_patient(), timeout=_TIMEOUT)


def remove_tree(folder: str) -> None:
    """Removes every object below a prefix."""
    in_parallel(remove, [f"{normal(folder)}/{name}" for name, _ in tree(folder)])


def remove_empty_folders(folder: str) -> None:
    """There are none."""


def lock(path: str, owner: str) -> Any:
    """Holds a lease; see `lease.py`."""
    from preprocess.storage.lease import lease

    return lease(path, owner)


def in_parallel(call: Callable[[T], R], items: Iterable[T], at_a_time: int = THREADS) -> list[R]:
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


def _blob(path: str) -> Any:
    _, name = _split(path)
    if not name:
        raise FileNotFoundError(2, "a bucket, not an object", path)
    return _bucket(path).blob(name)


def _split(path: str) -> tuple[str, str]:
    match = _PATH.fullmatch(path)
    if match is None:
        raise UsageError(f"'{path}' is not gs://BUCKET/NAME")
    return match[1], (match[2] or "").rstrip("/")


def _prefix(folder: str) -> str:
    _, name = _split(folder)
    return f"{name}/" if name else ""


def _bucket(path: str) -> Any:
    return _reached(os.environ.get("STORAGE_EMULATOR_HOST", ""), _split(path)[0])


@functools.cache
def _reached(emulator: str, name: str) -> Any:
    """A bucket that answered: later a 404 means an object, and patience is well spent."""
    bucket = _client(emulator).bucket(name)
    where = f"gs://{name}"
    with _explained(where):
        try:
            first = bucket.client.list_blobs(
                bucket,
                max_results=1,
                retry=RETRY.with_timeout(FIRST_RETRY_SECONDS),
                timeout=_TIMEOUT,
            )
            list(first)
        except api.NotFound:
            raise UsageError(f"there is no bucket '{name}' on Google Cloud Storage") from None
    return bucket


@functools.cache
def _client(emulator: str) -> Any:
    """The one client of this process: connections are kept and shared by its threads."""
    if emulator:
        if "://" not in emulator:
            raise ConfigError(
                f"STORAGE_EMULATOR_HOST='{emulator}' has no scheme; http://{emulator} is meant?"
            )
        client = storage.Client(project="emulator", credentials=AnonymousCredentials())
    else:
        try:
            credentials, project = google.auth.default(scopes=[_SCOPE])
        except auth.DefaultCredentialsError as error:
            raise ConfigError(_no_credentials(error)) from None
        client = storage.Client(project=project or "none", credentials=credentials)
    # The adapters that it comes with keep ten connections and complain about the eleventh.
    adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=2 * THREADS)
    client._http.mount("https://", adapter)
    client._http.mount("http://", adapter)
    return client


def _no_credentials(error: Exception) -> str:
    said = _first_line(error)
    if "GOOGLE_APPLICATION_CREDENTIALS" not in os.environ:
        said = "none found"
    return (
        f"no Google Cloud credentials ({said}): on GKE bind the pod's service account by Workload "
        "Identity, on other Google machines attach one; elsewhere run\n"
        "`gcloud auth application-default login` or let GOOGLE_APPLICATION_CREDENTIALS name a key "
        "file"
    )


def _patient() -> Any:
    return RETRY.with_timeout(RETRY_SECONDS)


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Google's exceptions as ours; retries are over by then."""
    try:
        yield
    except api.PreconditionFailed:
        raise
    except api.NotFound:
        raise FileNotFoundError(2, "no such object", path) from None
    except (api.Forbidden, api.Unauthorized) as error:
        raise ConfigError(
            f"'{path}': not allowed: {_first_line(error)}\n"
            "the account needs the role storage.objectUser on the bucket (to read only: "
            "storage.objectViewer)"
        ) from None
    except (
        api.GoogleAPICallError,
        api.RetryError,
        auth.TransportError,
        requests.RequestException,
        ConnectionError,
        DataCorruption,
    ) as error:
        reason = getattr(error, "cause", None) or error
        raise StorageError(
            f"'{path}' cannot be reached: {_first_line(reason)}; the same command goes on later"
        ) from None
    except auth.GoogleAuthError as error:
        raise ConfigError(
            f"'{path}': the Google Cloud credentials were refused: {_first_line(error)}\n"
            "`gcloud auth application-default login` renews a person's"
        ) from None


def _first_line(error: BaseException) -> str:
    text = getattr(error, "message", "") or str(error)
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        text = error.response.json()["error"]["message"]  # type: ignore[attr-defined]
    line = " ".join(str(text).strip().split("\n")[0].split())
    return (line or type(error).__name__)[:300]
