"""Generates a small synthetic set like Google's facial expression comparison, to try things on.

Cartoon faces are drawn with a known expression, and simulated annotators vote which of three is
the odd one out. Writes DIR/images_cropped/ID.jpg (112x112), DIR/labels.csv (the triplets) and
DIR/truth.csv (the expression each face was drawn with). The same flags write the same bytes.

Prints how often those expressions themselves agree with the annotators on the test triplets: no
model can be expected to do better.

Then: python -m preprocess build --source=fec --csv=DIR/labels.csv --images=DIR/images_cropped
"""

from __future__ import annotations

import json
import os

from absl import flags

from preprocess.shell.errors import UsageError
from preprocess.shell.path_flags import define_path

_OUTPUT = define_path("output", None, "Directory to write; new, empty or an earlier one.")
_FACES = flags.DEFINE_integer("faces", 1500, "Number of faces.")
_TRIPLETS = flags.DEFINE_integer("triplets", 9000, "Number of triplets.")
_TEST_FRACTION = flags.DEFINE_float(
    "test_fraction", 0.2, "Share of faces and triplets to test on; no face is in both subsets."
)
_SEED = flags.DEFINE_integer("seed", 0, "Another seed, other faces.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object and nothing else.")


def main(argv: list[str]) -> None:
    """Runs the command; `argv` is what the flags left over."""
    if argv:
        raise UsageError(f"unexpected argument '{argv[0]}'; `synth` takes flags only")
    if not _OUTPUT.value:
        raise UsageError("--output=DIR is missing: where to write the set")
    # Here and not above, so that --help does not wait for OpenCV.
    from preprocess.synth import dataset

    directory = _OUTPUT.value
    dataset.synthesise(
        directory,
        _FACES.value,
        _TRIPLETS.value,
        _TEST_FRACTION.value,
        _SEED.value,
        processes=len(os.sched_getaffinity(0)),
    )
    right, counted = dataset.oracle(directory, "test")
    accuracy = right / counted if counted else None
    result = {
        "output": directory,
        "csv": f"{directory}/{dataset.TABLE_FILE}",
        "images": f"{directory}/{dataset.IMAGES_FOLDER}",
        "truth": f"{directory}/{dataset.TRUTH_FILE}",
        "faces": _FACES.value,
        "triplets": _TRIPLETS.value,
        "oracle": {"split": "test", "right": right, "counted": counted, "accuracy": accuracy},
    }
    if _JSON.value:
        print(json.dumps(result, ensure_ascii=False, sort_keys=True))
        return
    print(f"{_FACES.value} faces      {result['images']}")
    print(f"{_TRIPLETS.value} triplets   {result['csv']}")
    print(f"expressions  {result['truth']}")
    if accuracy is not None:
        print(f"they themselves get {accuracy:.1%} of the {counted} clear test triplets right")
