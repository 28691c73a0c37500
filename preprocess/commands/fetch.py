r"""Downloads a dataset from gs://, checked by its hashes, or the pictures of a table of URLs.

    python -m preprocess fetch gs://BUCKET/DATASET DIR
    python -m preprocess fetch --csv=urls.csv --output=DIR

A dataset: existing files of DIR with the right bytes are kept: run again after an interruption, it
resumes. The manifest is written last, so DIR is a complete dataset or none; a second fetch into the
same DIR waits for the first. STORAGE_EMULATOR_HOST redirects to an emulator.

A table url[,id][,label][,split]: pictures go to DIR/images, the outcome of each URL to
DIR/fetch.jsonl, and DIR/labels.csv lists the downloaded ones: `build --csv=DIR/labels.csv
--images=DIR`. Faces of Google's FEC file are cropped to their boxes: `build --csv=THE_SAME
--images=DIR/images`. The same command resumes; permanent failures are requested again only with
--retry_failed. Requests per host are limited, and pauses that a host asks for are kept. Private
addresses are refused, even behind redirects; proxies are not used.
"""

from __future__ import annotations

from absl import flags

from preprocess.commands import staged
from preprocess.commands.column_pairs import parse_pairs
from preprocess.shell import quiet
from preprocess.shell.cli import print_json
from preprocess.shell.errors import UsageError
from preprocess.shell.path_flags import define_path

flags.adopt_module_key_flags(staged)
_CSV = define_path("csv", "", "Table of URLs: url[,id][,label][,split], or Google's FEC file.")
_OUTPUT = define_path("output", "", "Folder for the pictures of --csv.")
_COLUMNS = flags.DEFINE_list("columns", [], "Your names of the columns: url=IMAGE_URL,label=CLASS.")
_CSV_ENCODING = flags.DEFINE_string("csv_encoding", "", "Encoding of --csv; by default UTF-8.")
_WORKERS = flags.DEFINE_integer(
    "workers", 32, "Downloads at a time.", lower_bound=1, upper_bound=512
)
_PER_HOST = flags.DEFINE_integer(
    "per_host", 4, "Downloads at a time from one host.", lower_bound=1, upper_bound=64
)
_MAX_BYTES = flags.DEFINE_integer(
    "max_bytes", 20 << 20, "Of one picture.", lower_bound=1, upper_bound=64 << 20
)
_SECONDS = flags.DEFINE_float("seconds", 60.0, "For one picture.", lower_bound=0.1)
_LIMIT = flags.DEFINE_integer("limit", 0, "Rows to take; 0 = all.", lower_bound=0)
_ALLOW_PRIVATE = flags.DEFINE_bool(
    "allow_private", False, "Ask addresses of private networks and of this machine, too."
)
_RETRY = flags.DEFINE_bool("retry_failed", False, "Ask again what failed for good.")


def main(arguments: list[str]) -> None:
    """Copies the dataset named first to the directory named second, or a table's pictures."""
    if _CSV.value or _OUTPUT.value:
        _fetch_table(arguments)
        return
    quiet.hush()
    from preprocess.build.staging import fetch

    staged.run(fetch, arguments, to="local")


def _fetch_table(arguments: list[str]) -> None:
    from preprocess.download.url_table import UrlRequest, fetch_urls
    from preprocess.download.web_client import Limits

    if arguments or not (_CSV.value and _OUTPUT.value):
        raise UsageError("--csv=URLS.csv and --output=DIR belong together, without arguments")
    request = UrlRequest(
        csv=_CSV.value,
        output=_OUTPUT.value,
        limits=Limits(_MAX_BYTES.value, _SECONDS.value, _ALLOW_PRIVATE.value),
        columns=parse_pairs("--columns", _COLUMNS.value),
        csv_encoding=_CSV_ENCODING.value,
        workers=_WORKERS.value,
        per_host=_PER_HOST.value,
        limit=_LIMIT.value,
        retry_failed=_RETRY.value,
    )
    done = fetch_urls(request)
    if staged.wants_json():
        print_json(done)
        return
    lost = ", ".join(f"{count} {reason}" for reason, count in done["failed"].items())
    print(
        f"{done['fetched'] + done['already_there']} of {done['pictures']} pictures are there, "
        f"{done['fetched']} of them new, in {done['seconds']:.1f} s"
    )
    if lost:
        print(f"failed: {lost}")
    print(
        f"python -m preprocess build --csv={done['table'] or _CSV.value} "
        f"--images={_OUTPUT.value if done['table'] else done['images']} --output=DATASET"
    )
