"""Checks that a cluster has what a run needs to start, by asking its API server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from launch.backends.cluster_submit import missing_reason, owned, sent
from launch.backends.kube import Api, ClusterError, Conflict, Forbidden, Missing
from launch.checks.quota import quota
from launch.checks.result import Result, fail, ok, warning
from launch.checks.room import room
from launch.render.text import title
from launch.runs.records import Record
from launch.spec import Secret, Spec
from preprocess.shell.nearest import nearest

# A Job's `backoffLimitPerIndex` and `successPolicy` are enabled by default from here on.
OLDEST = (1, 33)
# From here on an init container may run next to the others (`restartPolicy: Always`). An older
# server drops that field, and the workers wait for the end of their follower.
OLDEST_SIDECARS = (1, 29)
TRIES = 2
AUTOSCALER = ("kube-system", "cluster-autoscaler-status")

Object = dict[str, Any]


def cluster(record: Record) -> Iterator[Result]:
    """Raises ClusterError if no API server responds."""
    spec = record.spec
    api = Api(spec.namespace, tries=TRIES)
    yield _version(api, spec)
    there = _there(api, "namespace", "Namespace", spec.namespace, "`kubectl apply -k k8s`")
    yield there
    manifests = sent(record)
    yield from _operators(api, spec)
    if there.state == "FAIL":
        return
    for name, kind, wanted, remedy in _named(spec):
        yield _there(api, name, kind, wanted, remedy)
    if spec.queue:
        yield _queue(api, spec.queue)
    for secret in spec.secrets:
        yield _secret(api, secret)
    if pod := _template(manifests):
        workers = spec.workers if spec.together else 1
        yield _told("room", lambda: room(pod["spec"], workers, api.find("Node"), _autoscaled()))
        yield _told("quota", lambda: quota(pod["spec"], workers, api.find("ResourceQuota")))
    yield _dry_run(api, record, manifests)


def _version(api: Api, spec: Spec) -> Result:
    major, minor = api.version()
    if spec.follower and (major, minor) < OLDEST_SIDECARS:
        return fail(
            "server",
            f"Kubernetes {major}.{minor} has no sidecars, which the follower of --augment_workers "
            f"is one of: they came with {OLDEST_SIDECARS[0]}.{OLDEST_SIDECARS[1]}",
            "omit --augment_workers, and start `preprocess follow` yourself",
        )
    if (major, minor) < OLDEST:
        return warning(
            "server",
            f"Kubernetes {major}.{minor}: restarts of one rank are counted "
            f"correctly from {OLDEST[0]}.{OLDEST[1]} on",
            "--backend=jobset",
        )
    return ok("server", f"Kubernetes {major}.{minor}")


def _named(spec: Spec) -> Iterator[tuple[str, str, str, str]]:
    """Name of the check, kind, object, remedy."""
    account = spec.service_account
    yield "account", "ServiceAccount", account, "`kubectl apply -k k8s`, or --service_account"
    for claim in sorted({mount.claim for mount in spec.mounts}):
        yield "volume", "PersistentVolumeClaim", claim, "create the claim, or correct --volume"
    if spec.priority:
        yield "priority", "PriorityClass", spec.priority, "create it, or omit --priority"
    yield from spec.kind.needs


def _operators(api: Api, spec: Spec) -> Iterator[Result]:
    """Checks kinds that an operator defines."""
    wanted = list(spec.kind.operators)
    if spec.queue:
        wanted.append(("LocalQueue", "Kueue, or omit --queue"))
    for kind, what in wanted:

        def look(kind: str = kind, what: str = what) -> Result:
            if api.serves(kind):
                return ok(kind, "the cluster has this kind")
            return fail(kind, "the cluster does not have this kind", f"install {what}")

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
            near = nearest(wanted, names) or names
            remedy = f"--queue={near[0]}" if near else "`kubectl apply -k k8s/kueue`"
            return fail("queue", f"there is no queue '{wanted}' in {api.namespace}", remedy)
        for condition in (queue.get("status") or {}).get("conditions") or ():
            if condition.get("type") == "Active" and condition.get("status") == "False":
                return warning("queue", f"'{wanted}' admits nothing: {condition.get('message')}")
        return ok("queue", wanted)

    return _told("queue", look)


def _secret(api: Api, wanted: Secret) -> Result:
    """Checks the keys of a secret, never its values."""

    def look() -> Result:
        try:
            keys = sorted((api.get("Secret", wanted.name).get("data") or {}).keys())
        except Missing:
            return fail("secret", f"there is no Secret '{wanted.name}'",
                        "create it, or correct --secret")  # fmt: skip
        if wanted.key not in keys:
            near = (nearest(wanted.key, keys) or keys or [""])[0]
            return fail("secret", f"Secret '{wanted.name}' has no key '{wanted.key}'",
                        f"--secret={wanted.name}:{near}:{wanted.variable}" if near else
                        f"add the key '{wanted.key}' to it")  # fmt: skip
        return ok("secret", f"{wanted.name} has the key {wanted.key}")

    return _told("secret", look)


def _dry_run(api: Api, record: Record, manifests: list[Object]) -> Result:
    """The server's response to a dry run of every object, with admission; nothing is stored."""
    pod = _template(manifests)
    extra = []
    if pod:
        # Pods of a Job are admitted only when they are created, so one is submitted here too.
        metadata = {**pod.get("metadata", {}), "name": f"{manifests[0]['metadata']['name']}-check",
                    "namespace": api.namespace}  # fmt: skip
        extra = [{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}]
    taken = ""
    owner: Object | None = None
    for o in [*manifests, *extra]:
        try:
            made = api.create(owned(o, owner) if owner else o, dry_run=True)
            if o is manifests[0] and "uid" in made["metadata"]:
                owner = made
        except Conflict:
            taken = taken or title(o)
        except Missing:
            return fail("dry run", missing_reason(api, record, o), "see above")
        except Forbidden as error:
            return fail("dry run", f"{title(o)}: {error}", _remedy(str(error)))
        except ClusterError as error:
            return fail("dry run", f"{title(o)}: {error}", "correct the flag that it is about")
    if taken:
        return warning("dry run", f"{taken} exists already",
                       "`launch stop` it, or set another --name")  # fmt: skip
    return ok("dry run", f"the server would accept all {len(manifests)} objects and the pod")


def _remedy(refusal: str) -> str:
    """What to do about a 403, which is not always about rights."""
    if "exceeded quota" in refusal:
        return "request less (--cpus, --memory, --scratch, --gpu), or a larger quota"
    if "service account" in refusal:
        return "`kubectl apply -k k8s` creates 'trainer'; or correct --service_account"
    if "violates PodSecurity" in refusal or "admission webhook" in refusal:
        return "the namespace does not admit such pods: ask its administrator"
    return "ask for permission to create it"


def _template(manifests: list[Object]) -> Object | None:
    """The pod template of the workers, if the verb starts a run."""
    spec = manifests[0]["spec"]
    if manifests[0]["kind"] == "JobSet":
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    return spec["template"] if manifests[0]["kind"] in ("Job", "JobSet") else None


def _autoscaled() -> bool:
    """Whether the cluster autoscaler may add nodes; no if that is unknown."""
    namespace, name = AUTOSCALER
    try:
        Api(namespace, tries=TRIES).get("ConfigMap", name)
    except (Missing, Forbidden):
        return False
    return True


def _told(name: str, look: Callable[[], Result]) -> Result:
    """The result of a check; a warning if this user may not read the object."""
    try:
        return look()
    except Forbidden as error:
        return warning(name, f"cannot tell: {error}")
