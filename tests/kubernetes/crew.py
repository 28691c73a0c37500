"""A team whose pods really run: what they train, and what happens to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster import ControlPlane, Object, Refused
from tests.kubernetes.nodes import Nodes
from tests.kubernetes.runs import JOB, People, rank, until
from tests.trainer import datasets
from trainer.training.checkpoints import LAST, Checkpoints

CLAIM, MOUNT = "runs", "/runs"
# Some seconds of training: 90 steps, with a state saved after every 15.
SMALL = {"model__backbone": "mlp", "deterministic": True, "steps_per_epoch": 15, "epochs": 6}


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
        **changes: Any,
    ) -> None:
        """`launch train` of a small training on two workers; `trainer` are further flags of
        theirs, `launcher` of the command itself, `changes` are of the configuration.
        """
        file = self.volume / f"{name}.py"
        datasets.write_config(file, datasets.TRIPLET, **{**SMALL, **changes})
        self.alice.launch(
            "train", f"--backend={backend}", f"--name={name}", f"--image={self.nodes.image}",
            f"--namespace={self.namespace}", "--workers=2", f"--volume={CLAIM}:{MOUNT}",
            *SIZES, *launcher,
            "--", f"--config={MOUNT}/{name}.py", f"--data={MOUNT}/{data}",
            f"--workdir={MOUNT}/{name}", "--json", *trainer,
        )  # fmt: skip

    def build(self, name: str, *flags: str) -> None:
        """A dataset of the same pictures, in a pod: as often as it is read, they are where they
        were.
        """
        shutil.copytree(self.volume.parent / "synth", self.volume / "synth")
        self.alice.launch(
            "preprocess", f"--backend={JOB}", "--name=build", f"--image={self.nodes.image}",
            f"--namespace={self.namespace}", f"--volume={CLAIM}:{MOUNT}", *SIZES, "--wait", "--",
            "--source=fec", f"--csv={MOUNT}/synth/labels.csv", "--image_size=32", "--shards=2",
            f"--images={MOUNT}/synth/images_cropped", f"--output={MOUNT}/{name}", "--workers=1",
            *flags,
        )  # fmt: skip

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
