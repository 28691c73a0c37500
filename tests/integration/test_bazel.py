"""The Bazel files, as far as they go without a network: format, graph, libraries, programs.

Bazel here is Debian's 4.2, which has no MODULE.bazel; stand-ins in tests/integration/bazel for
what it would fetch give it the rules it has built in. `bazel test` wants more than that, and is
not tried.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration import system

ROOT = Path(__file__).parents[2]
STAND_INS = ROOT / "tests" / "integration" / "bazel"
BUILDIFIER = "@bazel/buildifier@8.2.1"
LIBRARIES = ("dataset_format", "preprocess_lib", "trainer_lib", "launch_lib", "tests_lib")
PROGRAMS = ("preprocess_main", "trainer_main", "launch_main")

pytestmark = pytest.mark.timeout(900)  # its first start unpacks itself

Bazel = Callable[..., str]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this repository, and a WORKSPACE that leads to the stand-ins."""
    folder = tmp_path_factory.mktemp("workspace")
    listed = system.run(["git", "ls-files", "-z"], cwd=ROOT) if (ROOT / ".git").exists() else ""
    if not listed:
        pytest.skip("the files of a checkout are what is built, and this is none")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    lines = [f'local_repository(name = "{path.name}", path = "{path}")'
             for path in sorted(STAND_INS.iterdir())]  # fmt: skip
    (folder / "WORKSPACE").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bazel(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bazel]:
    program = system.command("bazel", "bazel-bootstrap")
    start = [program, f"--output_user_root={tmp_path_factory.mktemp('bazel')}", "--batch"]
    version = system.run([program, "--version"]).split()[-1]  # Debian's own says "no_version"
    major = version.partition(".")[0]
    if major.isdigit() and int(major) > 6:
        pytest.skip(f"bazel {version} has no native Python rules for the stand-in to forward to")

    def run(command: str, *arguments: str) -> str:
        done = subprocess.run(
            [*start, command, *arguments], cwd=workspace, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    yield run
    # Bazel takes the right to write away from what it made.
    system.run(["chmod", "-R", "u+w", start[1].partition("=")[2]])


def test_files_are_as_buildifier_writes_them():
    system.command("node", "nodejs")
    npm = system.command("npm", "npm")

    def install(folder: Path) -> None:
        folder.mkdir()
        system.run([npm, "install", "--no-save", f"--prefix={folder}", BUILDIFIER])

    program = system.fetched("buildifier-8.2.1", install) / "node_modules" / ".bin" / "buildifier"
    stand_ins = [p for p in STAND_INS.rglob("*") if p.is_file()]
    files = [ROOT / "BUILD", ROOT / "MODULE.bazel", *stand_ins]
    done = subprocess.run(
        [program, "--mode=check", "--lint=warn", "--warnings=all", *files],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_every_target_has_what_it_names(bazel):
    labels = bazel("query", "//...").split()
    kinds = bazel("query", 'kind("py_(library|binary|test)", //...)').split()
    assert {f"//:{name}" for name in (*LIBRARIES, *PROGRAMS)} <= set(kinds)
    tests = {f"//:{p.relative_to(ROOT).with_suffix('')}" for p in ROOT.glob("tests/**/test_*.py")
             if not {"integration", "kubernetes"} & set(p.parts)}  # fmt: skip
    assert tests <= set(labels)


def test_of_the_builder_the_trainer_is_given_what_it_imports_only(bazel):
    sources = bazel("query", 'kind("source file", deps(//:trainer_lib))').split()
    found = {label for label in sources if label.startswith("//:preprocess/")}
    rooms = {label.removeprefix("//:preprocess/").split("/")[0] for label in found}
    contract = {"__init__.py", "dataset_checks.py", "dataset_format.py", "live_format.py"}
    assert rooms == contract | {"pictures", "shell"}


@pytest.fixture(scope="module")
def built(bazel: Bazel, workspace: Path) -> Path:
    bazel("build", *(f"//:{name}" for name in (*LIBRARIES, *PROGRAMS)))
    return workspace / "bazel-bin"


def test_a_program_finds_all_its_files(built, tmp_path):
    """It runs from the files that its target names, with the packages of this interpreter."""
    synth = started(built, "preprocess_main", "synth", f"--output={tmp_path / 'faces'}",
                    "--faces=90", "--triplets=30")  # fmt: skip
    assert synth.returncode == 0, synth.stderr
    flags = (f"--csv={tmp_path}/faces/labels.csv", f"--images={tmp_path}/faces/images_cropped")
    plan = started(built, "preprocess_main", "plan", "--source=fec", *flags, "--recipe=faces",
                   f"--output={tmp_path}/dataset")  # fmt: skip
    assert plan.returncode == 0, plan.stderr
    presets = started(built, "trainer_main", "presets")
    assert "fec_triplet" in presets.stdout, presets.stderr


def test_the_launcher_starts_the_trainer_of_its_own_files(built, tmp_path):
    name = ("--name=checked", "--wait", "--max_restarts=0")
    done = started(built, "launch_main", "train", *name, "--", f"--workdir={tmp_path}/run",
                   SHARDLINE_STATE=str(tmp_path / "state"))  # fmt: skip
    assert done.returncode == 1, done.stderr
    logs = started(built, "launch_main", "logs", "checked", SHARDLINE_STATE=str(tmp_path / "state"))
    assert "--data" in logs.stdout, "the trainer itself says what is missing"


def started(
    built: Path, name: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [built / name, *arguments],
        cwd="/",  # so that no file of the repository is found by accident
        env={"PATH": path, "HOME": os.environ.get("HOME", "/"), **variables},
        capture_output=True,
        text=True,
    )
