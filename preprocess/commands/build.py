r"""Turns a table or folders of pictures into a dataset directory of TFRecord shards.

    python -m preprocess build --source=fec --csv=labels.csv --images=images_cropped \
        --output=DATASET --variants=10
    python -m preprocess build --source=folders --images=beans --output=DATASET --variants=10

--source=fec      triplets: face1,face2,face3,votes1,votes2,votes3[,triplet_type][,subset]
--source=folders  SPLIT/CLASS/FILE, or CLASS/FILE with --splits=train:0.8,test:0.2
--source=csv      path,label[,split]
--source=idx      MNIST's four idx files, plain or gzipped

Started again after it was stopped, it goes on where it stopped; with more --variants it adds them
and leaves the files that are there alone. TERM ends it at once with 75. What it refuses is listed
with the reason in DATASET/rejected.jsonl; beyond --max_bad_fraction it ends with 65 and the
dataset stays unreadable. Options for Apache Beam follow `--`.
"""

from __future__ import annotations

from absl import flags

from preprocess.cli import print_json
from preprocess.commands import request as shared

flags.adopt_module_key_flags(shared)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Runs the build; `arguments` are Beam's."""
    from preprocess.build import build
    from preprocess.stopping import ending_at_once_when_told
    from preprocess.summary import in_words

    request = shared.build_request(arguments)
    with ending_at_once_when_told("preprocess build"):
        summary = build(request)
    if _JSON.value:
        print_json(summary)
        return
    print("\n".join(in_words(summary, request.output)))
