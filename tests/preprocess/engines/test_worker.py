"""The package that an engine gets, and the worker that it starts from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import pytest

from preprocess.engines import worker, worker_package
from tests.preprocess import made


@pytest.mark.slow
def test_the_package_installs_without_a_network_and_works_from_there(tmp_path):
    wheel = worker_package.build_wheel(str(tmp_path))
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", str(target), wheel], check=True, capture_output=True)
    code = (
        "import preprocess.engines.beam_job, preprocess.augment as a\n"
        "print(preprocess.__file__, a.load_recipe('faces').digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**made.environment(), "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    where, digest = done.stdout.split()
    assert where.startswith(str(target))
    from preprocess.augment import load_recipe

    assert digest == load_recipe("faces").digest


def test_the_wheel_is_named_by_its_content(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (Path(worker_package.build_wheel(str(tmp_path / x))) for x in "ab")
    assert first.name == second.name


def test_the_worker_script_starts_the_interpreter_it_is_told_to(tmp_path):
    """It shows what it would run: `echo` stands for Python."""
    script = Path(worker.__file__).with_name("worker.sh")
    done = subprocess.run(
        [str(script), "--id=1-1", "--provision_endpoint=localhost:1"],
        env={"SHARDLINE_PYTHON": "/bin/echo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "-m preprocess.engines.worker --id=1-1 --provision_endpoint=localhost:1\n"


def test_a_worker_asks_the_engine_for_what_a_local_one_finds_in_its_environment(monkeypatch):
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as messages
    from apache_beam.portability.api import beam_provision_api_pb2_grpc as service

    seen = {}

    class Provision(service.ProvisionServiceServicer):
        def GetProvisionInfo(self, request: object, context: grpc.ServicerContext) -> object:
            seen.update(context.invocation_metadata())
            answer = messages.GetProvisionInfoResponse()
            answer.info.control_endpoint.url = "localhost:7"
            answer.info.logging_endpoint.url = "localhost:8"
            answer.info.pipeline_options["beam:option:job_name:v1"] = "x"
            answer.info.runner_capabilities.append("one")
            return answer

    server = grpc.server(futures.ThreadPoolExecutor(1))
    service.add_ProvisionServiceServicer_to_server(Provision(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setattr(os, "environ", {})
    try:
        worker.provision(["--id=3-1", f"--provision_endpoint=127.0.0.1:{port}"])
    finally:
        server.stop(None)
    assert seen["worker_id"] == "3-1"
    assert os.environ["WORKER_ID"] == "3-1"
    assert os.environ["CONTROL_API_SERVICE_DESCRIPTOR"].split() == ["url:", '"localhost:7"']
    assert os.environ["LOGGING_API_SERVICE_DESCRIPTOR"].split() == ["url:", '"localhost:8"']
    assert json.loads(os.environ["PIPELINE_OPTIONS"]) == {"beam:option:job_name:v1": "x"}
    assert os.environ["RUNNER_CAPABILITIES"] == "one"


def test_a_local_worker_finds_everything_in_its_environment(monkeypatch):
    monkeypatch.setattr(os, "environ", {"WORKER_ID": "w"})
    worker.provision([])
    assert dict(os.environ) == {"WORKER_ID": "w"}
