"""Whether what a run reads and writes is on storage that its workers can reach."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import PurePosixPath

from launch.checks.result import Result, fail, ok, warning
from launch.spec import Spec
from preprocess.shell.errors import first_line

SECONDS = 5.0
WRITTEN = ("workdir", "output")
READ = ("data", "csv", "images")


def places(spec: Spec) -> list[Result]:
    """One result for each path in the worker's flags."""
    found = []
    # A follower writes live variants below the dataset.
    written = (*WRITTEN, "data") if spec.follower else WRITTEN
    wanted = [(flag, place) for flag in (*WRITTEN, *READ) for place in spec.flags(flag) if place]
    for flag, place in wanted:
        name = f"--{flag}"
        if flag == "workdir" and "://" in place:
            found.append(
                fail(
                    name,
                    f"{place}: a run directory must be a folder, not an address",
                    "mount a volume: --volume=CLAIM:/runs -- --workdir=/runs/RUN",
                )
            )
        elif place.startswith("gs://"):
            if flag in written:
                found.append(bucket(name, place))
        elif "://" in place:
            found.append(warning(name, f"{place}: only gs:// can be tested from here"))
        elif spec.kind.in_cluster:
            found.append(on_a_volume(name, place, spec))
        elif flag in READ and not os.path.exists(place):
            found.append(fail(name, f"'{place}' does not exist", f"correct {name}"))
        elif flag in written:
            found.append(folder(name, place))
    return found


def on_a_volume(name: str, place: str, spec: Spec) -> Result:
    """Fails for a path on a pod's own disk, which is deleted with the pod."""
    paths = [mount.path for mount in spec.mounts]
    for path in paths:
        if PurePosixPath(place).is_relative_to(path):
            return ok(name, f"{place} is on the volume at {path}")
    return fail(
        name,
        f"'{place}' is on none of the pods' volumes" + (f" ({', '.join(paths)})" if paths else ""),
        "set --volume=CLAIM:/PATH, or a gs:// address",
    )


def folder(name: str, place: str) -> Result:
    """Writes to a local folder, or to its nearest existing parent."""
    above = os.path.abspath(place)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    try:
        with tempfile.NamedTemporaryFile(dir=above):
            return ok(name, f"{above} can be written")
    except OSError as error:
        return fail(name, f"'{above}' cannot be written: {error.strerror}", "set another folder")


def bucket(name: str, place: str) -> Result:
    """Writes an empty object under gs://BUCKET/PATH and deletes it, with this user's rights."""
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.cloud import storage
    from requests.exceptions import RequestException

    bucket_name, _, path = place.removeprefix("gs://").partition("/")
    probe = "/".join(filter(None, (path.strip("/"), f".probe-{uuid.uuid4().hex}")))
    try:
        blob = storage.Client(project="-").bucket(bucket_name).blob(probe)
        blob.upload_from_string(b"", timeout=SECONDS, retry=None)
        blob.delete(timeout=SECONDS, retry=None)
    except DefaultCredentialsError:
        return warning(name, f"no Google credentials here: cannot tell whether {place} is writable",
                       "`gcloud auth application-default login`")  # fmt: skip
    except NotFound:
        return fail(name, f"there is no bucket '{bucket_name}'", f"create it, or correct {name}")
    except (Forbidden, Unauthorized):
        return warning(name, f"you may not write to {place}; the pods' service account might",
                       "grant it roles/storage.objectUser")  # fmt: skip
    except (GoogleAPIError, GoogleAuthError, RequestException, OSError) as error:
        return warning(name, f"{place} cannot be tested from here: {first_line(error)[:160]}")
    return ok(name, f"{place} was written to, with this user's rights")
