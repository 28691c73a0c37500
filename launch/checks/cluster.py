"""What has to be in a cluster for a run to start, asked of its API server."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any

from launch.checks.result import Result, fail, ok, warning
from launch.checks.room import room
from launch.kube import Api, ClusterError, Conflict, Forbidden, Missing
from launch.lint.rule import title
from launch.render.objects import FLINK_CLUSTER, objects
from launch.spec import Spec

# A Job's `backoffLimitPerIndex` and `successPolicy` are on everywhere from here on.
OLDEST = (1, 33)
TRIES = 2
AUTOSCALER = ("kube-system", "cluster-autoscaler-status")

Object = dict[str, Any]


def cluster(spec: Spec) -> Iterator[Result]:
    """Raises ClusterError where no API server answers."""
    api = Api(spec.namespace, tries=TRIES)
    yield _version(api)
    there = _there(api, "namespace", "Namespace", spec.namespace, "`kubectl apply -k k8s`")
    yield there
    manifests = objects(spec)
    yield from _operators(api, spec)
    if there.state == "FAIL":
        return
    for name, kind, wanted, remedy in _named(spec):
        yield _there(api, name, kind, wanted, remedy)
    if spec.queue:
        yield _queue(api, spec.queue)
    if pod := _template(manifests):
        workers = spec.workers if spec.gang else 1
        yield _told("room", lambda: room(pod["spec"], workers, api.find("Node"), _autoscaled()))
    yield _dry_run(api, manifests)


def _version(api: Api) -> Result:
    major, minor = api.version()
    if (major, minor) < OLDEST:
        return warning("server", f"Kubernetes {major}.{minor}: restarts of one rank are counted "
                       f"right from {OLDEST[0]}.{OLDEST[1]} on", "--backend=jobset")  # fmt: skip
    return ok("server", f"Kubernetes {major}.{minor}")


def _named(spec: Spec) -> Iterator[tuple[str, str, str, str]]:
    """Name of the check, kind, object, remedy."""
    account = spec.service_account
    yield "account", "ServiceAccount", account, "`kubectl apply -k k8s`, or --service_account"
    for claim in sorted({mount.claim for mount in spec.mounts}):
        yield "volume", "PersistentVolumeClaim", claim, "create the claim, or correct --volume"
    if spec.priority:
        yield "priority", "PriorityClass", spec.priority, "create it, or leave --priority out"
    if spec.backend == "flink":
        yield "Flink cluster", "FlinkDeployment", FLINK_CLUSTER, "`kubectl apply -k k8s/flink`"


def _operators(api: Api, spec: Spec) -> Iterator[Result]:
    """Kinds that come with an operator."""
    wanted = []
    if spec.backend == "jobset":
        wanted.append(("JobSet", "JobSet's operator, or take --backend=job"))
    if spec.backend == "flink":
        wanted.append(("FlinkDeployment", "the Flink Kubernetes operator"))
    if spec.queue:
        wanted.append(("LocalQueue", "Kueue, or leave --queue out"))
    for kind, what in wanted:

        def look(kind: str = kind, what: str = what) -> Result:
            if api.serves(kind):
                return ok(kind, "the cluster has this kind")
            return fail(kind, "the cluster does not know this kind", f"install {what}")

        yield _told(kind, look)


def _there(api: Api, name: str, kind: str, wanted: str, remedy: str) -> Result:
    def look() -> Result:
        try:
            api.get(kind, wanted)
        except Missing:
            return fail(name, f"there is no {kind} '{wanted}'", remedy)
        return ok(name, wanted)

    return _told(name, look)


def _queue(api: Api, wanted: str) -> Result:
    def look() -> Result:
        try:
            queue = api.get("LocalQueue", wanted)
        except Missing:
            names = sorted(o["metadata"]["name"] for o in api.find("LocalQueue"))
            near = difflib.get_close_matches(wanted, names, n=1) or names
            remedy = f"--queue={near[0]}" if near else "`kubectl apply -k k8s/kueue`"
            return fail("queue", f"there is no queue '{wanted}' in {api.namespace}", remedy)
        for condition in (queue.get("status") or {}).get("conditions") or ():
            if condition.get("type") == "Active" and condition.get("status") == "False":
                return warning("queue", f"'{wanted}' admits nothing: {condition.get('message')}")
        return ok("queue", wanted)

    return _told("queue", look)


def _dry_run(api: Api, manifests: list[Object]) -> Result:
    """What the server says of every object, admission included; nothing is stored."""
    pod = _template(manifests)
    extra = []
    if pod:
        # Admission judges a Job's pods only when they are made: one is shown to it here.
        metadata = {**pod.get("metadata", {}), "name": f"{manifests[0]['metadata']['name']}-check",
                    "namespace": api.namespace}  # fmt: skip
        extra = [{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}]
    taken = ""
    for o in [*manifests, *extra]:
        try:
            api.create(o, dry_run=True)
        except Conflict:
            taken = taken or title(o)
        except Missing:
            return fail("dry run", f"the cluster does not know {o['kind']}s", "see above")
        except Forbidden as error:
            return fail("dry run", f"{title(o)}: {error}", "ask for the right to create it")
        except ClusterError as error:
            return fail("dry run", f"{title(o)}: {error}", "correct the flag it speaks of")
    if taken:
        return warning("dry run", f"{taken} is there already",
                       "`launch stop` it, or take another --name")  # fmt: skip
    return ok("dry run", f"the server would take all {len(manifests)} objects and the pod")


def _template(manifests: list[Object]) -> Object | None:
    """The pod template of the workers, where it is a run."""
    spec = manifests[0]["spec"]
    if manifests[0]["kind"] == "JobSet":
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    return spec["template"] if manifests[0]["kind"] in ("Job", "JobSet") else None


def _autoscaled() -> bool:
    """Whether more nodes may come, as the cluster autoscaler tells; no where it cannot be told."""
    namespace, name = AUTOSCALER
    try:
        Api(namespace, tries=TRIES).get("ConfigMap", name)
    except (Missing, Forbidden):
        return False
    return True


def _told(name: str, look: Callable[[], Result]) -> Result:
    """What a check says; a warning where this user may not look."""
    try:
        return look()
    except Forbidden as error:
        return warning(name, f"cannot tell: {error}")
