r"""Turns a table or folders of pictures into a dataset directory of TFRecord shards.

    python -m preprocess build --csv=labels.csv --images=images_cropped --output=DATASET
    python -m preprocess build --images=beans --output=DATASET --variants=10

The kind of input is detected from --csv and --images; --source names it if two kinds fit.

Run again after an interruption, it resumes where it stopped; with more --variants it adds them and
leaves existing files alone. SIGTERM ends it at once with 75. Refused input is listed with the
reason in DATASET/rejected.jsonl; beyond --max_bad_fraction the build ends with 65 and the dataset
stays unreadable. Options for Apache Beam follow `--`.
"""

from __future__ import annotations

from absl import flags

from preprocess.commands import request as shared
from preprocess.shell.cli import print_json

flags.adopt_module_key_flags(shared)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Runs the build; `arguments` are Beam's."""
    from preprocess.build.builder import build
    from preprocess.build.summary import in_words
    from preprocess.engines.stopping import ending_at_once_when_told

    request = shared.build_request(arguments)
    with ending_at_once_when_told("preprocess build"):
        summary = build(request)
    if _JSON.value:
        print_json(summary)
        return
    print("\n".join(in_words(summary, request.output)))
