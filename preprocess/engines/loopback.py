"""Beam's own servers of a local build, bound to this machine alone.

FnApiRunner opens gRPC ports without authentication for its worker processes, on all addresses, and
has no option for others (`GrpcServer` of fn_api_runner/worker_handlers.py for control, data, state
and logging, `SubprocessSdkWorker` of local_job_service.py for the log of each worker). Anybody who
reaches one could take the place of a worker.
"""

from __future__ import annotations

from typing import Any

ALL_ADDRESSES, LOOPBACK = "[::]:", "127.0.0.1:"


class _Server:
    """A gRPC server that opens its ports on loopback, and is otherwise the one it wraps."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def add_insecure_port(self, address: str) -> int:
        """Opens a port; raises RuntimeError if it is not the kind that Beam opens today."""
        if not address.startswith(ALL_ADDRESSES):
            raise RuntimeError(f"Beam opens {address!r}: this version needs another remedy")
        port: int = self._server.add_insecure_port(LOOPBACK + address.removeprefix(ALL_ADDRESSES))
        return port


class _Grpc:
    """The module `grpc` as worker_handlers sees it."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def server(self, *arguments: Any, **options: Any) -> _Server:
        """grpc.server(), on loopback."""
        return _Server(self._module.server(*arguments, **options))


def listen_on_loopback_only() -> None:
    """To be called before a local runner starts worker processes; again is harmless."""
    from apache_beam.runners.portability import local_job_service
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    for module in (worker_handlers, local_job_service):
        if not isinstance(module.grpc, _Grpc):
            module.grpc = _Grpc(module.grpc)
