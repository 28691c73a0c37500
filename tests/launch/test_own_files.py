"""References to a user's own files in the flags of a run, and what of them goes into pods."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from launch import own_files
from launch.backends.kinds.registry import KINDS
from launch.own_files import with_own_files, with_texts
from launch.render.objects import objects
from launch.render.text import to_yaml
from launch.spec import Mount, Spec
from launch.supervisor.kubelet import process, unpack_own_code
from preprocess.shell.errors import ConfigError, DataError, UsageError
from preprocess.shell.reference_source import source_record
from tests.launch.made import ARGUMENTS, spec

ROOT = Path(__file__).parents[2]
VOLUMES = (Mount("runs", "/runs"),)
LOSS = "--config.loss.name"


def sent(*arguments: str, **changes: Any) -> Spec:
    return with_own_files(spec(arguments=(*ARGUMENTS, *arguments), mounts=VOLUMES, **changes))


def paths(made: Spec) -> list[str]:
    return [own.path for own in made.own_files]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a loss that needs a neighbour and a package, and what is nobody's business."""
    folder = tmp_path / "mine"
    files = {
        "losses.py": "import json\nimport shared\n\ndef confident(): ...\n",
        "shared.py": "def late():\n    from parts.deep import one\n    return one\n",
        "parts/__init__.py": "",
        "parts/deep/__init__.py": "from . import one\n",
        "parts/deep/one.py": "from ..two import x\n",
        "parts/two.py": "x = 'ä'\r\n",
        "parts/unused.py": "raise SystemExit\n",
        "unused.py": "token = 'hunter2'\n",
        "json.py": "",
        "key.txt": "hunter2",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    monkeypatch.chdir(tmp_path)
    return folder


NEEDED = [
    "mine/losses.py", "mine/parts/__init__.py", "mine/parts/deep/__init__.py",
    "mine/parts/deep/one.py", "mine/parts/two.py", "mine/shared.py",
]  # fmt: skip


def test_what_a_file_imports_from_next_to_it_goes_along_and_nothing_else(mine, capsys):
    made = sent(f"{LOSS}=mine/losses.py:confident")
    assert made.arguments == (*ARGUMENTS, f"{LOSS}=/own/mine/losses.py:confident")
    assert paths(made) == NEEDED
    for own in made.own_files:
        content = (mine.parent / own.path).read_bytes()
        assert own.text.encode() == content
        assert own.sha256 == hashlib.sha256(content).hexdigest()
    assert capsys.readouterr().err.splitlines() == [
        "own code that the run's pods get: losses.py, parts/__init__.py, parts/deep/__init__.py, "
        f"parts/deep/one.py, parts/two.py, shared.py (1 KiB) of {mine}"
    ]


def test_a_pod_finds_each_file_where_the_flags_name_it(mine, tmp_path):
    """The volume's items, read as the kubelet does, give the folder again, byte for byte."""
    made = sent(f"{LOSS}=mine/losses.py:confident")
    for backend in ("job", "jobset"):
        [job, *others] = yaml.safe_load_all(
            to_yaml(objects(with_own_files(spec(arguments=(f"{LOSS}=mine/losses.py:confident",),
                                                backend=backend))))
        )  # fmt: skip
        [config_map] = [o for o in others if o["kind"] == "ConfigMap"]
        assert config_map["immutable"] is True
        job = job["spec"] if backend == "job" else (
            job["spec"]["replicatedJobs"][0]["template"]["spec"])  # fmt: skip
        pod = job["template"]["spec"]
        [volume] = [v for v in pod["volumes"] if "configMap" in v]
        assert volume["configMap"]["name"] == config_map["metadata"]["name"] == "fec-own-code"
        [mount] = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
        assert mount == {"name": volume["name"], "mountPath": "/own", "readOnly": True}
        found = {i["path"]: config_map["data"][i["key"]] for i in volume["configMap"]["items"]}
        assert found == {own.path: own.text for own in made.own_files}
        assert all(len(key) <= 253 and key.isascii() for key in config_map["data"])
        assert not any("/" in key for key in config_map["data"])


def test_the_source_in_a_pod_is_the_same_as_here(mine, tmp_path):
    """A ConfigMap's volume shows links into a folder that the kubelet may exchange."""
    made = sent(f"{LOSS}=mine/losses.py:confident")
    mount = tmp_path / "own"
    for own in made.own_files:
        file = mount / "..2026_11_30" / own.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(own.text.encode())
    (mount / "..data").symlink_to("..2026_11_30")
    (mount / "mine").symlink_to("..data/mine")
    there = f"{mount}/mine/losses.py:confident"
    assert source_record(there) == {**source_record("mine/losses.py:confident"), "reference": there}
    use = "from preprocess.shell.references import load_reference; import sys; "
    use += "load_reference(sys.argv[1], 'loss.name'); import shared; print(shared.late())"
    (mount / "..2026_11_30" / "mine" / "parts" / "deep" / "one.py").write_text("")
    done = subprocess.run([sys.executable, "-c", use, there], cwd=ROOT, check=True, text=True,
                          capture_output=True)  # fmt: skip
    assert str(mount / "mine") in done.stdout


def test_a_rehearsal_has_the_files_that_pods_would_have(mine, tmp_path):
    flags = (f"{LOSS}=mine/losses.py:f", "--config.metrics=['mine/shared.py:late', 'f1']",
             "--workdir=/x/own/run")  # fmt: skip
    made = sent(*flags)
    [job, *_] = rendered = objects(made)
    pod, folder = job["spec"]["template"]["spec"], tmp_path / "rehearsal"
    unpack_own_code(pod, rendered, folder)
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == {own.path: own.text.encode() for own in made.own_files}
    assert process(pod, 0, {}, tmp_path, folder).command[-3:] == [
        f"{LOSS}={folder}/mine/losses.py:f",
        f"--config.metrics=['{folder}/mine/shared.py:late', 'f1']",
        "--workdir=/x/own/run",
    ]


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ((LOSS, "mine/losses.py:f"), (LOSS, "/own/mine/losses.py:f")),
        (("--config.metrics=['mine/losses.py:f', 'auc']",),
         ("--config.metrics=['/own/mine/losses.py:f', 'auc']",)),
        (("--config.metrics=(f1,mine/shared.py:late)",),
         ("--config.metrics=(f1,/own/mine/shared.py:late)",)),
        (("--trust=mine/losses.py:f", "--trust=mine/shared.py:late"),
         ("--trust=/own/mine/losses.py:f", "--trust=/own/mine/shared.py:late")),
    ],
)  # fmt: skip
def test_however_a_reference_is_written_it_is_changed(mine, given, there):
    assert sent(*given).arguments == (*ARGUMENTS, *there)


def test_folders_of_one_name_are_kept_apart(mine, tmp_path):
    other = tmp_path / "other" / "mine"
    odd = tmp_path / "odd 'näme"
    for folder in (other, odd):
        folder.mkdir(parents=True)
        (folder / "losses.py").write_text("y = 2\n")
    made = sent(f"{LOSS}={other}/losses.py:y", "--config.metrics=mine/shared.py:late",
                f"--config.callbacks={odd}/losses.py:y")  # fmt: skip
    assert made.arguments[len(ARGUMENTS) :] == (
        f"{LOSS}=/own/mine/losses.py:y", "--config.metrics=/own/mine-2/shared.py:late",
        "--config.callbacks=/own/code/losses.py:y",
    )  # fmt: skip
    assert paths(made)[0] == "mine/losses.py"
    assert "mine-2/shared.py" in paths(made)


def test_a_build_and_a_search_get_them_too(mine):
    for verb in ("preprocess", "search"):
        made = with_own_files(
            spec(verb=verb, workers=1, arguments=("--source=mine/losses.py:confident",))
        )
        assert made.arguments == ("--source=/own/mine/losses.py:confident",)
        kinds = [o["kind"] for o in objects(made)]
        assert kinds == ["Job", "ConfigMap", "NetworkPolicy"]


def test_what_volumes_and_images_have_is_left_as_it_is():
    for flag in (f"{LOSS}=/runs/mine/losses.py:f", f"{LOSS}=/opt/shardline/mine/losses.py:f",
                 f"{LOSS}=losses:f", "--config.metrics=f1,auc"):  # fmt: skip
        made = sent(flag)
        assert made.arguments == (*ARGUMENTS, flag)
        assert made.own_files == ()


@pytest.mark.parametrize("backend", ["local", "slurm"])
def test_where_workers_share_the_files_nothing_is_sent(mine, backend):
    made = sent(f"{LOSS}=mine/losses.py:confident", backend=backend, image="")
    assert made.arguments == (*ARGUMENTS, f"{LOSS}=mine/losses.py:confident")
    assert made.own_files == ()


def test_pods_that_are_not_the_runs_own_cannot_get_any(mine):
    """A build's source runs in the workers of the Flink cluster, which stands already."""
    assert not KINDS["flink"].sends_own_files
    with pytest.raises(UsageError, match=r"pods of --backend=flink do not have.*--source=losses:s"):
        sent("--source=mine/losses.py:s", verb="preprocess", backend="flink", workers=1)


def refused(*arguments: str, **changes: Any) -> str:
    with pytest.raises(UsageError) as caught:
        sent(*arguments, **changes)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "given",
    [
        "{'class': 'mine/losses.py:confident'}",
        "{numbers: huber, class: mine/losses.py:confident}",
        '{"class":"mine/losses.py:confident"}',
    ],
)
def test_a_reference_in_a_mapping_is_refused_with_the_way_out(mine, given):
    for arguments in ((f"--config.loss.names={given}",), ("--config.loss.names", given)):
        message = refused(*arguments)
        assert message.endswith("--config.loss.names.PART=mine/losses.py:confident")
        assert "\n" not in message
    assert sent("--config.loss.names={numbers: huber}").own_files == ()
    made = sent("--config.loss.names.class=mine/losses.py:confident")
    assert made.arguments[-1] == "--config.loss.names.class=/own/mine/losses.py:confident"


def test_a_file_that_is_not_there_is_refused():
    for place in ("none.py", "~/none-such.py", "folder/none.py"):
        assert refused(f"{LOSS}={place}:f") == f"{LOSS}={place}:f: no such file on this machine"


def test_links_out_of_the_folder_are_refused(mine, tmp_path):
    (tmp_path / "secret.py").write_text("x = 1\n")
    (mine / "shared.py").unlink()
    (mine / "shared.py").symlink_to(tmp_path / "secret.py")
    text = refused(f"{LOSS}=mine/losses.py:confident")
    assert f"'{mine}/shared.py' is a link to '{tmp_path}/secret.py', outside" in text
    (mine / "loss.py").symlink_to(tmp_path / "secret.py")
    assert "outside of its folder" in refused(f"{LOSS}=mine/loss.py:confident")


def test_links_within_a_folder_are_followed_and_to_hidden_files_refused(mine, tmp_path):
    (tmp_path / "by-link").symlink_to(mine)
    (mine / "loss.py").symlink_to("parts/two.py")
    made = sent(f"{LOSS}=by-link/loss.py:x")
    assert paths(made) == ["by-link/loss.py"]
    for target in (".hidden.py", "key.txt"):
        (mine / ".hidden.py").write_text("x = 1\n")
        (mine / "loss.py").unlink()
        (mine / "loss.py").symlink_to(target)
        assert "is hidden or no .py file" in refused(f"{LOSS}=mine/loss.py:x")
    assert "is hidden or no .py file" in refused(f"{LOSS}=mine/.hidden.py:x")


def test_what_is_too_large_for_a_config_map_is_refused_with_the_ways_out(mine, monkeypatch):
    (mine / "shared.py").write_text("#" + "x" * (512 << 10))
    text = refused(f"{LOSS}=mine/losses.py:confident")
    assert "2 files with 512 KiB, the largest mine/shared.py" in text
    assert "--volume=CLAIM:/PATH" in text
    assert "into the image" in text
    (mine / "shared.py").write_text("import parts\n")
    assert len(sent(f"{LOSS}=mine/losses.py:confident").own_files) == 3
    monkeypatch.setattr(own_files, "MAX_FILES", 2)
    assert "3 files with" in refused(f"{LOSS}=mine/losses.py:confident")


def test_a_mistake_of_syntax_is_found_before_the_run_is_sent(mine):
    (mine / "shared.py").write_text("x = 1\nif\n")
    with pytest.raises(ConfigError, match=rf"{mine}/shared.py: line 2: invalid syntax"):
        sent(f"{LOSS}=mine/losses.py:confident")


@pytest.mark.parametrize(
    "text", ["KEY = 'AKIA1234567890ABCDEF'", "URL = f'https://me:hunter2@host/{1}'"]
)
def test_a_secret_in_the_code_is_refused(mine, text):
    """A ConfigMap is read by more people than a Secret."""
    (mine / "shared.py").write_text(f"x = 1\n{text}\n")
    said = refused(f"{LOSS}=mine/losses.py:confident")
    assert f"{mine}/shared.py: line 2: this text looks like a secret" in said
    assert "--secret=NAME:KEY:VARIABLE" in said
    assert "hunter2" not in said and "AKIA" not in said


def test_a_volume_at_the_same_path_is_refused(mine):
    changes = {"arguments": (f"{LOSS}=mine/losses.py:confident",)}
    for path in ("/own", "/own/mine"):
        with pytest.raises(UsageError, match="choose another path"):
            with_own_files(spec(mounts=(Mount("claim", path),), **changes))


def test_a_specification_has_the_files_by_sha256_only(mine):
    made = sent(f"{LOSS}=mine/losses.py:confident")
    fields = made.to_dict()
    assert [set(each) for each in fields["own_files"]] == [{"path", "sha256"}] * len(NEEDED)
    assert "own_files" not in spec().to_dict(), "as in records of earlier versions"
    again = Spec.from_dict(fields)
    assert again == made
    assert {own.text for own in again.own_files} == {""}
    with pytest.raises(DataError, match=r"mine/losses.py, as it was submitted, is no longer"):
        with_own_files(again)
    restored = with_own_files(with_texts(again, {own.sha256: own.text for own in made.own_files}))
    assert objects(restored) == objects(made)


def test_a_pipe_is_not_waited_for(mine):
    os.mkfifo(mine / "pipe.py")
    assert "no such file" in refused(f"{LOSS}=mine/pipe.py:x")
