"""The connection to Google Cloud Storage: credentials, buckets, patience, and errors in our words.

Credentials are the application default ones (a service account of the machine or of Workload
Identity, GOOGLE_APPLICATION_CREDENTIALS, or gcloud's). With STORAGE_EMULATOR_HOST set, such as
http://localhost:9023, that emulator is spoken to, without credentials.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from typing import Any

import google.auth
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from google.resumable_media import DataCorruption

from preprocess.shell.errors import ConfigError, StorageError, UsageError

THREADS = 32  # requests at a time in one process
# An outage of some minutes does not end a build of hours. The first request of all has to show
# soon whether there is a network, a bucket and the right to read it.
RETRY_SECONDS = 300.0
FIRST_RETRY_SECONDS = 10.0
RETRY = DEFAULT_RETRY  # after 1, 2, 4 ... up to 60 s, each shortened at random
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0  # of one attempt; READ between two bytes

_TIMEOUT = (CONNECT_SECONDS, READ_SECONDS)
_PATH = re.compile(r"gs://([a-z0-9][-_.a-z0-9]{1,220}[a-z0-9])(?:/(.*))?", re.DOTALL)
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


def blob(path: str) -> Any:
    """The google.cloud.storage.Blob of a path, of which nothing was asked yet; raises
    FileNotFoundError for a bucket alone.
    """
    _, name = split(path)
    if not name:
        raise FileNotFoundError(2, "a bucket, not an object", path)
    return bucket(path).blob(name)


def split(path: str) -> tuple[str, str]:
    """The bucket's and the object's name; raises UsageError for a path that is none of either."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise UsageError(f"'{path}' is not gs://BUCKET/NAME")
    return match[1], (match[2] or "").rstrip("/")


def prefix(folder: str) -> str:
    """What the names of all objects below a path begin with."""
    _, name = split(folder)
    return f"{name}/" if name else ""


def bucket(path: str) -> Any:
    """The google.cloud.storage.Bucket of a path, which answered once; raises UsageError if there
    is none, StorageError and ConfigError where it cannot be reached.
    """
    return _reached(os.environ.get("STORAGE_EMULATOR_HOST", ""), split(path)[0])


@functools.cache
def _reached(emulator: str, name: str) -> Any:
    """A bucket that answered: later a 404 means an object, and patience is well spent."""
    there = _client(emulator).bucket(name)
    where = f"gs://{name}"
    with explained(where):
        try:
            first = there.client.list_blobs(
                there,
                max_results=1,
                retry=RETRY.with_timeout(FIRST_RETRY_SECONDS),
                timeout=_TIMEOUT,
            )
            list(first)
        except api.NotFound:
            raise UsageError(f"there is no bucket '{name}' on Google Cloud Storage") from None
    return there


@functools.cache
def _client(emulator: str) -> Any:
    """The one client of this process: connections are kept and shared by its threads."""
    if emulator:
        if "://" not in emulator:
            raise ConfigError(
                f"STORAGE_EMULATOR_HOST='{emulator}' has no scheme; set http://{emulator}"
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


def patiently() -> dict[str, Any]:
    """What every request is told of waiting and trying again."""
    return {"retry": RETRY.with_timeout(RETRY_SECONDS), "timeout": _TIMEOUT}


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
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
            f"'{path}' cannot be reached: {_first_line(reason)}; run the same command again later"
        ) from None
    except auth.GoogleAuthError as error:
        raise ConfigError(
            f"'{path}': the Google Cloud credentials were refused: {_first_line(error)}\n"
            "renew yours with `gcloud auth application-default login`"
        ) from None


def _first_line(error: BaseException) -> str:
    text = getattr(error, "message", "") or str(error)
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        text = error.response.json()["error"]["message"]  # type: ignore[attr-defined]
    line = " ".join(str(text).strip().split("\n")[0].split())
    return (line or type(error).__name__)[:300]
