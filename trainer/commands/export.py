r"""A SavedModel that takes the bytes of pictures and needs none of this code.

    python -m trainer export --workdir=RUN --output=DIR [--checkpoint=last|best]

DIR is a SavedModel with one signature, `serving_default`, for any number of pictures:

    images         string [N]      bytes of JPEG or PNG files (upright: EXIF is not looked at)
 -> embedding      float32 [N,E]   compared by squared distance (triplets) or cosine (classes)
    logits         float32 [N,C]   classes only
    probabilities  float32 [N,C]   classes only
    class          string [N]      classes only: the name of the most probable one

Pictures are decoded and resized inside, as those of the run's dataset were. DIR/assets has
signature.json, which says all this of the run at hand, and labels.txt, the class names. An
earlier export in DIR is replaced as a whole; anything else there is refused.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from trainer.cli import no_arguments, print_json, say

_WORKDIR = flags.DEFINE_string("workdir", None, "Run directory.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object: signature.json and `output`.")


def main(arguments: list[str]) -> None:
    """Exports the run."""
    no_arguments(arguments)
    from trainer import quiet

    quiet.silence()
    from trainer.export import check_output, export
    from trainer.runs import open_run
    from trainer.serving import Serving

    check_output(Path(_OUTPUT.value))  # before the seconds that building the model takes
    run = open_run(_WORKDIR.value, _CHECKPOINT.value, say)
    described = export(Serving(run), _OUTPUT.value)
    if _JSON.value:
        print_json({**described, "output": _OUTPUT.value})
        return
    outputs = ", ".join(
        f"{name} {each['dtype']}{each['shape']}" for name, each in described["outputs"].items()
    )
    print(f"images string[N] -> {outputs}".replace("None", "N"))
    print(f"state after step {run.step}: {_OUTPUT.value}")
