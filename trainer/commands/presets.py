"""The shipped configurations, a line each.

python -m trainer presets [--json]
"""

from __future__ import annotations

from absl import flags

from trainer.cli import no_arguments, print_json

_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.", allow_override=True)


def main(arguments: list[str]) -> None:
    """Prints every preset with the first line of its docstring."""
    no_arguments(arguments)
    from trainer.config import preset_names, preset_summary

    summaries = {name: preset_summary(name) for name in preset_names()}
    if _JSON.value:
        print_json(summaries)
        return
    width = max(map(len, summaries))
    for name, summary in summaries.items():
        print(f"{name:<{width}}  {summary}")
