"""All checks of a specification, in the order in which they are told."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from launch.checks.image import image
from launch.checks.result import Result, fail, ok
from launch.checks.storage import places
from launch.lint.rule import check
from launch.lint.rules import RULES
from launch.render.objects import objects
from launch.spec import KUBERNETES, Spec


def everything(spec: Spec) -> tuple[list[Result], str]:
    """Results, and why no API server was asked ("" where one was, or none is needed)."""
    from launch.checks.cluster import cluster
    from launch.kube import ClusterError

    in_cluster = spec.backend in KUBERNETES
    results = [manifests(spec)] if in_cluster else []
    # They wait for different servers.
    with ThreadPoolExecutor() as pool:
        storage = pool.submit(places, spec)
        asked: Future[list[Result]] | None = None
        pulled: Future[Result] | None = None
        if in_cluster:
            asked = pool.submit(lambda: list(cluster(spec)))
            pulled = pool.submit(image, spec.image)
    unreachable = ""
    if asked:
        try:
            results += asked.result()
        except ClusterError as error:
            unreachable = str(error)
            results.append(
                fail("server", unreachable, "`kubectl version` tells whether it is there")
            )
    results += [pulled.result()] if pulled else []
    return [*results, *storage.result()], unreachable


def manifests(spec: Spec) -> Result:
    """Our own rules; needs no network."""
    found = objects(spec)
    findings = check(RULES, found)
    if findings:
        return fail("manifests", "; ".join(map(str, findings[:3])), "`launch render` shows them")
    return ok("manifests", f"{len(found)} objects keep all {len(RULES)} rules")
