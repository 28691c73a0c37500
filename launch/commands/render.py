r"""Prints what a verb would submit, as YAML documents or a batch script; submits nothing.

    python -m launch render train --backend=job --workers=4 --gpu=h100:8 \
        --image=REF@sha256:... --name=RUN -- --config=... --data=... --workdir=...

Works offline; the flags are those of the verb.
"""

from __future__ import annotations

from absl import flags

import launch.flags
from launch.flags import spec_from_flags
from launch.spec import VERBS
from launch.submit import new_record, rendered
from preprocess.shell.errors import UsageError

flags.adopt_module_key_flags(launch.flags)


def main(arguments: list[str]) -> None:
    """Renders."""
    if not arguments or arguments[0] not in VERBS:
        raise UsageError(f"launch render VERB ...; VERB is one of {', '.join(VERBS)}")
    verb = arguments[0]
    spec = spec_from_flags(verb, arguments[1:])
    print(rendered(new_record(spec)[0]), end="")
