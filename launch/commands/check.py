r"""Checks before a run is submitted whether it would start and could write. Changes nothing.

    python -m launch check train --backend=job --workers=4 --gpu=h100:8 --image=REF@sha256:... \
        --volume=runs:/runs -- --config=... --data=gs://... --workdir=/runs/RUN

The flags are those of the verb. Checks the manifests, the required objects in the cluster (also by
a dry run there), whether its nodes could ever hold all workers, the image in its registry, without
credentials, and what is read and written: on a volume, or a bucket, to which an empty object is
written and deleted. With --augment_workers also the recipe, and where the dataset is on this
machine, whether variants of it can be made. Exits with 0, with 78 if a check FAILs, with 69 if only
the API server does not respond.
"""

from __future__ import annotations

import dataclasses
import warnings

from absl import flags

import launch.flags
from launch.flags import spec_from_flags
from launch.spec import VERBS
from preprocess.shell.cli import print_json
from preprocess.shell.errors import ConfigError, UsageError

flags.adopt_module_key_flags(launch.flags)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Runs the checks and prints them."""
    if not arguments or arguments[0] not in VERBS:
        raise UsageError(f"launch check VERB ...; VERB is one of {', '.join(VERBS)}")
    spec = spec_from_flags(arguments[0], arguments[1:])
    # Google's libraries announce at import until when they support this Python.
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    from launch.backends.kube import ClusterError
    from launch.checks.everything import everything
    from launch.checks.result import FAIL
    from launch.submit import new_record

    results, unreachable = everything(new_record(spec)[0])
    failed = [result for result in results if result.state == FAIL]
    if _JSON.value:
        print_json({"ok": not failed, "checks": [dataclasses.asdict(r) for r in results]})
    else:
        width = max([len(result.name) for result in results], default=0)
        for result in results:
            print(f"{result.state:<7}  {result.name:<{width}}  {result.message}")
            if result.remedy:
                print(f"{'':<7}  {'':<{width}}  -> {result.remedy}")
    if len(failed) > bool(unreachable):
        raise ConfigError(f"{len(failed)} of {len(results)} checks FAIL; see the remedies above")
    if unreachable:
        raise ClusterError(unreachable)
