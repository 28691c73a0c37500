"""All checks of a specification, in the order in which they are shown."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from launch.checks.following import following
from launch.checks.image import image
from launch.checks.result import Result, fail
from launch.checks.storage import places
from launch.runs.records import Record


def everything(record: Record) -> tuple[list[Result], str]:
    """Results, and why no API server was asked ("" if one was, or none is needed)."""
    from launch.backends.kube import ClusterError
    from launch.checks.cluster_checks import cluster

    spec = record.spec
    in_cluster = spec.kind.in_cluster
    results: list[Result] = []
    # In parallel: they wait for different servers.
    with ThreadPoolExecutor() as pool:
        storage = pool.submit(places, spec)
        followed = pool.submit(following, spec)
        asked: Future[list[Result]] | None = None
        pulled: Future[Result] | None = None
        if in_cluster:
            asked = pool.submit(lambda: list(cluster(record)))
            pulled = pool.submit(image, spec.image)
    unreachable = ""
    if asked:
        try:
            results += asked.result()
        except ClusterError as error:
            unreachable = str(error)
            results.append(
                fail("server", unreachable, "`kubectl version` shows whether it responds")
            )
    results += [pulled.result()] if pulled else []
    return [*results, *storage.result(), *followed.result()], unreachable
