"""A team whose pods really run: what they train, and what happens to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster import ControlPlane, Object, Refused
from tests.kubernetes.nodes import Nodes
from tests.kubernetes.runs import JOB, People, phase, rank, until
from tests.trainer import datasets
from trainer.training.checkpoints import LAST, Checkpoints

CLAIM, MOUNT = "runs", "/runs"
# Some seconds of training: 360 steps, with a state saved after every 15.
SMALL = {"model__backbone": "mlp", "deterministic": True, "steps_per_epoch": 15, "epochs": 24}


SIZES = ("--cpus=1", "--memory=2Gi", "--shared_memory=256Mi", "--scratch=1Gi", "--grace=60s")


class Crew(People):
    """With the claim `runs` of a volume that every node has: a dataset, configurations, runs."""

    def __init__(
        self, cluster: ControlPlane, nodes: Nodes, data: Path, namespace: str, folder: Path
    ) -> None:
        super().__init__(cluster, namespace, folder)
        self.nodes = nodes
        self.volume = data / namespace
        self.volume.mkdir()
        self.volume.chmod(0o777)
        shutil.copytree(data / "triplets", self.volume / "triplets")
        size = {"storage": "1Gi"}
        common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
        cluster.apply(
            {"apiVersion": "v1", "kind": "PersistentVolume",
             "metadata": {"name": namespace},
             "spec": {**common, "capacity": size, "hostPath": {"path": str(self.volume)},
                      "claimRef": {"namespace": namespace, "name": CLAIM}}},
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
             "metadata": {"name": CLAIM, "namespace": namespace},
             "spec": {**common, "resources": {"requests": size}, "volumeName": namespace}},
        )  # fmt: skip

    def remove_volume(self) -> None:
        """After the namespace."""
        self.cluster.call("DELETE", f"/api/v1/persistentvolumes/{self.namespace}")

    def start(
        self,
        name: str,
        backend: str,
        *,
        trainer: Sequence[str] = (),
        launcher: Sequence[str] = (),
        data: str = "triplets",
        workdir: str = "",
        **changes: Any,
    ) -> None:
        """`launch train` of a small training on two workers.

        Args:
          name: of the run.
          backend: it runs as.
          trainer: further flags of its workers.
          launcher: of the command itself.
          data: its dataset on the volume.
          workdir: its run directory there; "" = as the run is named.
          changes: of the configuration.
        """
        self.write_config(name, **changes)
        self.alice.launch(
            "train", f"--backend={backend}", f"--name={name}", *self.common, "--workers=2",
            *launcher, "--", f"--config={MOUNT}/{name}.py", f"--data={MOUNT}/{data}",
            f"--workdir={MOUNT}/{workdir or name}", "--json", *trainer,
        )  # fmt: skip

    @property
    def common(self) -> tuple[str, ...]:
        """Flags of every command that starts pods."""
        return (f"--image={self.nodes.image}", f"--namespace={self.namespace}",
                f"--volume={CLAIM}:{MOUNT}", *SIZES)  # fmt: skip

    def write_config(self, name: str, **changes: Any) -> None:
        """The small training's, as NAME.py on the volume."""
        file = self.volume / f"{name}.py"
        datasets.write_config(file, datasets.TRIPLET, **{**SMALL, **changes})

    def build(self, name: str, *flags: str) -> None:
        """A dataset of the same pictures, in a pod: as often as it is read, they are where they
        were.
        """
        shutil.copytree(self.volume.parent / "synth", self.volume / "synth")
        self.alice.launch(
            "preprocess", f"--backend={JOB}", "--name=build", *self.common, "--wait", "--",
            "--source=fec", f"--csv={MOUNT}/synth/labels.csv", "--image_size=32", "--shards=2",
            f"--images={MOUNT}/synth/images_cropped", f"--output={MOUNT}/{name}", "--workers=1",
            *flags,
        )  # fmt: skip

    def path_of(self, pod: Object) -> str:
        """At the API server."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"

    def alive(self, name: str) -> list[Object]:
        """The pods of a run whose containers may still run."""
        return [pod for pod in self.pods(name) if phase(pod) not in ("Succeeded", "Failed")]

    def cordon(self, node: str, yes: bool = True) -> None:
        """Whether new pods come to a node."""
        change = {"spec": {"unschedulable": yes}}
        self.cluster.call("PATCH", f"/api/v1/nodes/{node}", change, "application/merge-patch+json")

    def saved(self, name: str) -> int:
        """The newest step that a run has saved; 0 before the first."""
        states = Checkpoints(self.volume / name / "checkpoints").states(LAST)
        return int(states[0].name.split("-")[1]) if states else 0

    def saves(self, name: str, step: int) -> None:
        """Returns once a run has saved a step or a later one."""
        until(f"{name} saves step {step}", lambda: self.saved(name) >= step)

    def result(self, name: str) -> dict[str, Any]:
        """What the chief of a run that ended well has printed; stdout and stderr are one log."""
        [*_, last] = [pod for pod in self.pods(name) if rank(pod) == 0]
        [*_, printed] = [line for line in self.log(last).splitlines() if line.startswith("{")]
        return dict(json.loads(printed))

    def log(self, pod: Object) -> str:
        """Of a pod's container."""
        return self.cluster.kubectl(
            "logs", f"--namespace={self.namespace}", pod["metadata"]["name"]
        )

    def said(self, name: str) -> str:
        """What is known of a run's pods, for a test that failed."""
        found = []
        for pod in self.pods(name):
            status = json.dumps((pod.get("status") or {}).get("containerStatuses"))
            try:
                log = self.log(pod)[-1500:]
            except (Refused, OSError) as error:
                log = str(error)
            found.append(f"{pod['metadata']['name']}: {status}\n{log}")
        return "\n".join(found)


def ended(pod: Object) -> int:
    """The exit code of a pod's container, which has ended."""
    [container] = pod["status"]["containerStatuses"]
    return int(container["state"]["terminated"]["exitCode"])
