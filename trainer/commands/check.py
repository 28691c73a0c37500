r"""Checks in seconds what would stop or slow a long run; trains a few steps.

    python -m trainer check --config=trainer/configs/NAME.py --data=DATASET [--workdir=RUN] \
        [--config.KEY=VALUE ...]

One line per check: ok, warning or FAIL, the finding, and the remedy. --layers lists the layers of
the model with their shapes and weights, and which of them train. Exits with 0, with 78 if a
check failed, with 65 if it failed because of the dataset, with 74 for a storage that does not
respond. Nothing is kept of the steps.
"""

from __future__ import annotations

import dataclasses
import sys
import textwrap

from absl import flags

from preprocess.shell.cli import no_arguments, print_json
from preprocess.shell.path_flags import define_path, define_repeated_path

_DATA = define_repeated_path(
    "data", None, "Dataset directory; several as for `train`.", required=True
)
_WORKDIR = define_path("workdir", "", "Run directory that `train` will write.")
_CONFIG = define_path(
    "config", None, "Configuration: a file, the name of a preset, or an earlier RUN.", required=True
)
_OVERRIDES = flags.DEFINE_multi_string(
    "override", [], "KEY=VALUE; what --config.KEY=VALUE is turned into."
)
_LAYERS = flags.DEFINE_bool("layers", False, "List the layers of the model, too.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")

_NAME_WIDTH, _STATUS_WIDTH, _LINE = 10, 7, 100


def main(arguments: list[str]) -> None:
    """Checks, a line at a time."""
    no_arguments(arguments)
    from trainer.compat import quiet
    from trainer.config import load_config

    config = load_config(_CONFIG.value, [pair.partition("=")[::2] for pair in _OVERRIDES.value])
    quiet.silence()
    from trainer.preflight.preflight_run import LAST, exit_code, preflight
    from trainer.report.layer_table import table_lines

    found = []
    first, *further = _DATA.value
    for check in preflight(config, first, _WORKDIR.value, further):
        found.append(check)
        if not _JSON.value:
            print(f"{check.name:<{_NAME_WIDTH}}  {check.status:<{_STATUS_WIDTH}}  {check.value}")
            if check.advice:
                print(_indented(check.advice))
            if _LAYERS.value and check.layers:
                print("\n".join(["", *table_lines(check.layers), ""]))
            sys.stdout.flush()
    code = exit_code(found)
    if _JSON.value:
        keys = ("name", "status", "value", "advice")
        rows = [{key: getattr(check, key) for key in keys} for check in found]
        layers = [dataclasses.asdict(row) for check in found for row in check.layers]
        listed = {"layers": layers} if _LAYERS.value else {}
        print_json({"ok": code == 0, "checks": rows, **listed})
    elif code and found[-1].name != LAST:
        print("the rest was not looked at, model and step among it")
    sys.exit(code)


def _indented(advice: str) -> str:
    """Below the value; handles and paths stay whole, to be copied."""
    indent = " " * (_NAME_WIDTH + _STATUS_WIDTH + 4)
    return textwrap.fill(
        advice,
        _LINE,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
