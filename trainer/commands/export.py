r"""Writes a SavedModel that takes the bytes of pictures and needs none of this code.

    python -m trainer export --workdir=RUN --output=DIR [--checkpoint=last|best]

DIR is a SavedModel with a signature `serving_default` for any number of pictures:

    images         string [N]      bytes of JPEG or PNG files (upright: EXIF is ignored)
 -> embedding      float32 [N,E]   compared by squared distance (triplets) or cosine (classes)
    logits         float32 [N,C]   classes only
    probabilities  float32 [N,C]   classes only
    class          string [N]      classes only: the name of the most probable one

A second signature, `pixels`, takes decoded pictures, uint8 [N,H,W,C], and has no strings: for
converters to TFLite or ONNX, which do not decode JPEG.

Pictures are decoded and resized inside, as those of the run's dataset were. DIR/assets has
signature.json, which describes the exported model, and labels.txt, the class names. An earlier
export in DIR is replaced as a whole; anything else there is refused.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from preprocess.shell.cli import no_arguments, print_json, say
from preprocess.shell.path_flags import define_path
from trainer.commands import trust_flag
from trainer.commands.trust_flag import TRUST

flags.adopt_module_key_flags(trust_flag)

_WORKDIR = define_path("workdir", None, "Run directory.", required=True)
_OUTPUT = define_path("output", None, "Folder to write.", required=True)
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object: signature.json and `output`.")


def main(arguments: list[str]) -> None:
    """Exports the run."""
    no_arguments(arguments)
    from trainer.compat import quiet

    quiet.silence()
    from trainer.inference.export import check_output, export
    from trainer.inference.serving import Serving
    from trainer.inference.trained_run import open_run

    check_output(Path(_OUTPUT.value))  # before the seconds that building the model takes
    run = open_run(_WORKDIR.value, _CHECKPOINT.value, say, TRUST.value)
    described = export(Serving(run), _OUTPUT.value)
    if _JSON.value:
        print_json({**described, "output": _OUTPUT.value})
        return
    outputs = ", ".join(
        f"{name} {each['dtype']}{each['shape']}" for name, each in described["outputs"].items()
    )
    print(f"images string[N] -> {outputs}".replace("None", "N"))
    print(f"state after step {run.step}: {_OUTPUT.value}")
