"""Lists the shipped configurations, one per line; with --keys every configuration key.

python -m trainer presets [--keys] [--json]
"""

from __future__ import annotations

from absl import flags

from preprocess.shell.cli import no_arguments, print_json

_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.", allow_override=True)
_KEYS = flags.DEFINE_bool("keys", False, "List the configuration keys: default and meaning.")


def main(arguments: list[str]) -> None:
    """Prints every preset with the first line of its docstring, or every key."""
    no_arguments(arguments)
    from trainer.config import preset_names, preset_summary
    from trainer.config.keys import KEYS

    if _KEYS.value:
        summaries = {
            n: f"{k.meaning}; {k.allowed} (default {k.default!r})" for n, k in KEYS.items()
        }
    else:
        summaries = {name: preset_summary(name) for name in preset_names()}
    if _JSON.value:
        print_json(summaries)
        return
    width = max(map(len, summaries))
    for name, summary in summaries.items():
        print(f"{name:<{width}}  {summary}")
