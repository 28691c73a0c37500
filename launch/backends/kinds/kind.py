"""What a back end declares before its implementation is imported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from preprocess.shell.entries import load


class Asked(Protocol):
    """The fields of a specification that a check may read."""

    @property
    def image(self) -> str:
        """The container image."""

    @property
    def workers(self) -> int:
        """The number of workers."""

    @property
    def grace(self) -> int:
        """Seconds from SIGTERM to SIGKILL."""

    @property
    def time_limit(self) -> int:
        """Seconds of one attempt; 0 = until the deadline."""

    @property
    def deadline(self) -> int:
        """Seconds of the whole run."""


def nothing_to_check(asked: Asked) -> None:
    """Accepts every specification."""
    del asked


@dataclasses.dataclass(frozen=True)
class Kind:
    """A value of --backend.

    Attributes:
      name: the value.
      description: one line for --help.
      verbs: what it can run.
      implementation: MODULE:CLASS with the methods of launch.backends.base.Backend; not imported
        before it is needed.
      check: raises UsageError for flags that it does not support.
      in_cluster: whether workers are Kubernetes pods.
      beam_options: options for Beam that a build gets.
      operators: kinds of Kubernetes objects that an operator defines, and what to install.
      needs: objects that must be in the cluster: (name of the check, kind, name, remedy).
      workload: MODULE:FUNCTION that renders a specification's workers, as Kubernetes objects.
      host: name of a worker's pod without its rank, with {name} for the run's.
      sends_own_files: whether the pods that run the user's own code are all of the run, and can get
        it with the run.
      rehearsed: whether `launch rehearse` supports the policy of its workload.
      follows: whether it can keep a follower next to a training (--augment_workers).
      reaches: what its workers call besides storage: (instance label, port) of pods.
      labels: of its objects, besides the labels of every run.
    """

    name: str
    description: str
    verbs: tuple[str, ...]
    implementation: str
    check: Callable[[Asked], None] = nothing_to_check
    in_cluster: bool = False
    beam_options: tuple[str, ...] = ()
    operators: tuple[tuple[str, str], ...] = ()
    needs: tuple[tuple[str, str, str, str], ...] = ()
    workload: str = "launch.render.job:workload"
    host: str = "{name}"
    sends_own_files: bool = False
    rehearsed: bool = False
    follows: bool = False
    reaches: tuple[tuple[str, int], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    def start(self) -> Any:
        """The implementation."""
        return load(self.implementation)()

    def workers(self, spec: Asked) -> list[dict[str, Any]]:
        """The Kubernetes objects that run the workers of a specification."""
        rendered: list[dict[str, Any]] = load(self.workload)(spec)
        return rendered
