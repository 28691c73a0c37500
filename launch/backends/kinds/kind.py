"""What a back end says of itself, before anything of it is imported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from preprocess.shell.entries import load


class Asked(Protocol):
    """What a check may look at, of a specification."""

    @property
    def image(self) -> str:
        """The container image."""

    @property
    def workers(self) -> int:
        """How many."""

    @property
    def grace(self) -> int:
        """Seconds from SIGTERM to SIGKILL."""

    @property
    def time_limit(self) -> int:
        """Seconds of one attempt; 0 = as long as the deadline."""


def nothing_to_check(asked: Asked) -> None:
    """Takes every specification."""
    del asked


@dataclasses.dataclass(frozen=True)
class Kind:
    """One value of --backend.

    Attributes:
      name: as it is given.
      description: one line for --help.
      verbs: what it can run.
      implementation: MODULE:CLASS with the methods of launch.backends.base.Backend; not
        imported before it is needed.
      check: raises UsageError for flags that it cannot serve.
      in_cluster: whether workers are pods of Kubernetes.
      beam_options: what a build is given for Beam.
      operators: kinds of Kubernetes objects that come with an operator, and what to install.
      needs: objects that have to be in the cluster: (name of the check, kind, name, remedy).
      workload: MODULE:FUNCTION that renders a specification's workers, as Kubernetes objects.
      host: name of a worker's pod without its rank, of {name}, the run's.
      rehearsed: whether `launch rehearse` knows the policy of its workload.
      reaches: what its workers call besides storage: (instance label, port) of pods.
      labels: what its objects bear besides the labels of every run.
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
    rehearsed: bool = False
    reaches: tuple[tuple[str, int], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    def start(self) -> Any:
        """The back end itself."""
        return load(self.implementation)()

    def workers(self, spec: Asked) -> list[dict[str, Any]]:
        """The Kubernetes objects that run the workers of a specification."""
        rendered: list[dict[str, Any]] = load(self.workload)(spec)
        return rendered
