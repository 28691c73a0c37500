"""What can happen to the workers of a run, and what its status then has to count."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tests.kubernetes.cluster import Object
from tests.kubernetes.crew import Crew
from tests.kubernetes.runs import finished, until

Workers = dict[str, list[Object]]  # the pods of each run by rank


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """One of them.

    Attributes:
      done: to the runs, whose workers have saved.
      failures: that count.
      interruptions: that do not; any of these numbers.
      codes: with which the two ranks may end, where their pods are kept; () where they are not.
    """

    done: Callable[[Crew, Workers], None]
    failures: int = 0
    interruptions: tuple[int, ...] = (1,)
    codes: tuple[set[int], ...] = ()


def _kill(crew: Crew, workers: Workers) -> None:
    for _, second in workers.values():
        crew.nodes.kill(second)


def _terminate(crew: Crew, workers: Workers) -> None:
    for _, second in workers.values():
        crew.nodes.kill(second, "SIGTERM")


def _delete(crew: Crew, workers: Workers) -> None:
    for _, second in workers.values():
        crew.cluster.call("DELETE", crew.path_of(second))


def _drain(crew: Crew, workers: Workers) -> None:
    """As `kubectl drain` does: no further pod comes to the node, and each one there is evicted."""
    node = next(iter(workers.values()))[1]["spec"]["nodeName"]
    evicted = [pod for pods in workers.values() for pod in pods if pod["spec"]["nodeName"] == node]
    crew.cordon(node)
    try:
        for pod in evicted:
            metadata = {name: pod["metadata"][name] for name in ("name", "namespace")}
            crew.cluster.call("POST", f"{crew.path_of(pod)}/eviction",
                              {"apiVersion": "policy/v1", "kind": "Eviction",
                               "metadata": metadata})  # fmt: skip
        gone = {pod["metadata"]["uid"] for pod in evicted}
        until("nothing evicted runs", lambda: not gone & {
            pod["metadata"]["uid"] for name in workers for pod in crew.alive(name)})  # fmt: skip
    finally:
        crew.cordon(node, False)


def _suspend(crew: Crew, workers: Workers) -> None:
    asked = [crew.alice.start("suspend", name) for name in workers]
    for process in asked:
        finished(process)
    for name in workers:
        until(f"no pod of {name} runs", lambda name=name: not crew.alive(name))
        status = crew.alice.status(name)
        assert status["state"] == "suspended", status
        crew.alice.launch("resume", name)


DISTURBANCES = {
    "kill": Disturbance(_kill, failures=1, interruptions=(0,), codes=({76}, {137})),
    # Where nothing is unsaved, as in the first validation, a worker leaves without the others.
    "terminate": Disturbance(_terminate, codes=({75, 76}, {75})),
    "delete": Disturbance(_delete),
    "drain": Disturbance(_drain),
    # JobSet may see a worker that saved and left before it has suspended its Job, and restart it.
    "suspend": Disturbance(_suspend, interruptions=(0, 1)),
}
