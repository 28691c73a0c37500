"""A worker process (`python -m preprocess.engines.worker`): Beam's own, but quiet.

A local run starts it with everything in its environment. An engine starts it by `worker.sh` with
`--id` and `--provision_endpoint`, where it asks for the rest, as every Beam container does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from preprocess.engines.light_import import without_connectors
from preprocess.shell import quiet
from preprocess.shell.process import die_with_parent

PROVISION_SECONDS = 60  # until the process that started this one must have answered


def provision(arguments: Sequence[str]) -> None:
    """Fills the environment variables that Beam's worker reads from the engine's answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", default="")
    parser.add_argument("--provision_endpoint", default="")
    known, _ = parser.parse_known_args(arguments)
    if not known.provision_endpoint:
        return
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as messages
    from apache_beam.portability.api import beam_provision_api_pb2_grpc as service
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(known.provision_endpoint) as channel:
        answer = service.ProvisionServiceStub(channel).GetProvisionInfo(
            messages.GetProvisionInfoRequest(),
            metadata=[("worker_id", known.id)],
            timeout=PROVISION_SECONDS,
        )
    info = answer.info
    os.environ["WORKER_ID"] = known.id
    os.environ["CONTROL_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(
        info.control_endpoint
    )
    os.environ["LOGGING_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(
        info.logging_endpoint
    )
    os.environ["PIPELINE_OPTIONS"] = json_format.MessageToJson(info.pipeline_options)
    os.environ["RUNNER_CAPABILITIES"] = " ".join(info.runner_capabilities)


if __name__ == "__main__":
    local = "--die_with_parent" in sys.argv
    if local:
        # Elsewhere than on Linux it ends when it notices that its connection is gone.
        die_with_parent(os.getppid())
    quiet.hush()
    with without_connectors() if local else contextlib.nullcontext():
        from apache_beam.runners.worker import sdk_worker_main

    # It prints every exception before it passes it on to the process that reports it.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        provision(sys.argv[1:])
        sdk_worker_main.main(sys.argv)
