"""The shipped configurations, a line each.

python -m trainer presets [--json]
"""

import json

from absl import flags

from trainer.errors import UsageError

FLAGS = flags.FLAGS
flags.DEFINE_boolean("json", False, "One JSON object on stdout, nothing else.", allow_override=True)


def main(argv: list[str]) -> None:
    """Prints every preset with the first line of its docstring.

    Args:
      argv: the program's name, then what absl left over.

    Raises:
      UsageError: an argument; there are none.
    """
    from trainer.config import preset_names, preset_summary

    if len(argv) > 1:
        raise UsageError(f"presets takes no argument, received {' '.join(argv[1:])}")
    summaries = {name: preset_summary(name) for name in preset_names()}
    if FLAGS.json:
        print(json.dumps(summaries))
        return
    width = max(map(len, summaries))
    for name, summary in summaries.items():
        print(f"{name:<{width}}  {summary}")
