from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from launch.gpus import Gpu
from launch.render.objects import objects
from launch.render.pod import CONTAINER, hosts
from launch.render.slurm import batch_script
from launch.render.text import to_yaml
from launch.spec import Spec
from launch.supervisor.kubelet import process
from tests.launch.made import MATRIX, spec

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
# Written anew where this is set: look at the difference before it is committed.
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))


FACTORS = {
    "workers": (1, 2, 8),
    "backend": ("job", "jobset"),
    **dict.fromkeys(("spot", "queue", "mounts", "tensorboard"), (False, True)),
}


def test_every_pair_of_choices_is_in_some_manifest():
    def value(made: Spec, name: str) -> object:
        found = getattr(made, name)
        return found if name in ("workers", "backend") else bool(found)

    for (one, first), (other, second) in itertools.combinations(FACTORS.items(), 2):
        there = {(value(made, one), value(made, other)) for made in MATRIX.values()}
        assert there == set(itertools.product(first, second)), (one, other)


def same_as_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if UPDATE:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path}: UPDATE_GOLDEN=1 writes it anew"


@pytest.mark.parametrize("name", MATRIX)
def test_manifests_are_those_that_were_looked_at(name):
    same_as_golden(f"{name}.yaml", to_yaml(objects(MATRIX[name])))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MATRIX)
def test_what_is_rendered_is_valid_in_every_version(name, version):
    for o in objects(MATRIX[name]):
        if o["kind"] != "JobSet":  # a custom resource: the public schemas do not hold it
            kubernetes_validate.validate(o, version, strict=True)


def test_each_worker_finds_its_place_in_tf_config():
    """The kubelet expands `$(JOB_COMPLETION_INDEX)`, which stands before TF_CONFIG."""
    made = MATRIX["job-8-queue"]
    pod = objects(made)[0]["spec"]["template"]["spec"]
    for index in range(8):
        found = json.loads(process(pod, index, {}, Path("/x")).environment["TF_CONFIG"])
        assert found["task"] == {"type": "worker", "index": index}
        assert found["cluster"]["worker"] == hosts(made)
        assert found["cluster"]["worker"][index] == f"fec-{index}.fec:2222"


def test_a_dollar_that_a_user_wrote_stays_one():
    pod = objects(MATRIX["job-2-volumes"])[0]["spec"]["template"]["spec"]
    assert process(pod, 0, {}, Path("/x")).environment["GREETING"] == "a $(b) $c"


def test_arguments_reach_the_worker_as_they_were_written():
    made = spec(arguments=("--workdir=/runs/$(date)", "--config.x=a b"))
    pod = objects(made)[0]["spec"]["template"]["spec"]
    command = process(pod, 0, {}, Path("/x")).command
    assert command[1:] == ["-m", "trainer", "train", "--workdir=/runs/$(date)", "--config.x=a b"]


def test_the_follower_is_a_sidecar_whose_command_is_as_it_was_written():
    """The kubelet expands the rank, which is before the command; the user's `$(...)` stays."""
    made = spec(augment_workers=2, augment_recipe="$(date)")
    pod = objects(made)[0]["spec"]["template"]["spec"]
    [sidecar] = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    as_worker = {"containers": [{**sidecar, "name": CONTAINER}], "volumes": pod["volumes"]}
    started = process(as_worker, 1, {}, Path("/x"))
    module = "launch.supervisor.follower_process"
    assert started.command[1:] == ["-m", module, "--rank=1", "--", *made.follower]
    assert "TF_CONFIG" not in started.environment


def test_the_exit_codes_of_the_manifest_are_those_of_the_trainer():
    rules = objects(spec())[0]["spec"]["podFailurePolicy"]["rules"]
    by_action = {r["action"]: r["onExitCodes"]["values"] for r in rules if "onExitCodes" in r}
    assert by_action == {"FailJob": [64, 65, 70, 78], "Ignore": [75, 76]}


def test_no_secret_stands_in_a_manifest():
    text = to_yaml(objects(MATRIX["job-2-volumes"]))
    entry = next(
        e
        for e in yaml.safe_load_all(text).__next__()["spec"]["template"]["spec"]["containers"][0][
            "env"
        ]
        if e["name"] == "TRACKER_KEY"
    )
    assert entry == {
        "name": "TRACKER_KEY",
        "valueFrom": {"secretKeyRef": {"name": "tracker", "key": "key"}},
    }


def test_a_batch_script_is_the_one_that_was_looked_at():
    made = MATRIX["job-8-queue"]
    text = batch_script(made, "/home/user", "/venv/bin/python", "/runs/fec/lives", 0, 1.8e9)
    same_as_golden("slurm-8.sh", text)


def test_a_batch_script_starts_a_follower_before_the_tasks_and_ends_it_after_them():
    """4 + 3 CPUs a task, of which srun uses 4, and the memory of 7: 28 GiB instead of 16."""
    made = spec(backend="slurm", augment_workers=3, augment_recipe="a b")
    text = batch_script(made, "/home/user", "/venv/bin/python", "/runs/fec/lives", 0, 1.8e9)
    same_as_golden("slurm-2-follower.sh", text)


def test_workers_of_a_search_are_an_array():
    made = spec(verb="search", backend="slurm", workers=4, gpu=Gpu("l4", 1), time_limit=3601)
    text = batch_script(made, "/home/user", "/venv/bin/python", "/runs/fec/lives", 2, 1.8e9)
    same_as_golden("slurm-array.sh", text)


def test_a_batch_script_quotes_what_a_shell_would_take_apart():
    made = spec(backend="slurm", arguments=("--config=a b", "--workdir=$(touch /x)"),
                env=(("WORDS", "x; rm -rf /"),))  # fmt: skip
    text = batch_script(made, "/home/a user", "/venv/bin/python", "/runs/lives", 0, 0)
    assert "'--config=a b' '--workdir=$(touch /x)'" in text
    assert "export WORDS='x; rm -rf /'" in text
    assert '#SBATCH --chdir="/home/a user"' in text
