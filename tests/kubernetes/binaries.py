"""The programs of a control plane, built once from their Go modules, and kept in the cache.

Go's checksum database vouches for the sources; etcd is the distribution's.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from preprocess.shell.process import dying_with_parent
from tests.integration import system

CACHE = system.CACHE / "kubernetes"
KUBERNETES = ("k8s.io/kubernetes", "v1.36.3")
JOBSET = ("sigs.k8s.io/jobset", "v0.11.1")
KUEUE = ("sigs.k8s.io/kueue", "v0.17.0")
COREDNS = ("github.com/coredns/coredns", "v1.14.7")

Module = tuple[str, str]  # path and version


class Unavailable(Exception):
    """Why the programs cannot be had here, or not in the time."""


@dataclasses.dataclass(frozen=True)
class Program:
    """One program: its name, the module that it comes with, its package there."""

    name: str
    module: Module
    package: str

    @property
    def path(self) -> Path:
        """Where it is once it is built."""
        return CACHE / f"{self.name}-{self.module[1]}"


# What the tests take from the modules' sources.
JOBSET_CRDS = (JOBSET, "config/components/crd/bases")
JOBSET_WEBHOOKS = (JOBSET, "config/components/webhook/manifests.yaml")
KUEUE_CRDS = (KUEUE, "config/components/crd/bases")
KUEUE_WEBHOOKS = (KUEUE, "config/components/webhook/manifests.yaml")

# What takes longest is last: an interrupted build has the others done.
PROGRAMS = (
    *(
        Program(name, KUBERNETES, f"k8s.io/kubernetes/cmd/{name}")
        for name in ("kubectl", "kube-controller-manager", "kube-apiserver")
    ),
    Program("jobset", JOBSET, "sigs.k8s.io/jobset"),
)
# What trainings on nodes need besides.
OF_NODES = (
    *(
        Program(name, KUBERNETES, f"k8s.io/kubernetes/cmd/{name}")
        for name in ("kube-scheduler", "kubelet")
    ),
    Program("coredns", COREDNS, "github.com/coredns/coredns"),
    Program("kueue", KUEUE, "sigs.k8s.io/kueue/cmd/kueue"),
)


def ready(seconds: float = math.inf, kubelets: bool = False) -> None:
    """Builds what is missing within so many seconds; raises Unavailable."""
    deadline = time.monotonic() + seconds
    wanted = (*PROGRAMS, *OF_NODES) if kubelets else PROGRAMS
    missing = [program for program in wanted if not program.path.exists()]
    try:
        system.command("etcd", "etcd-server")
        if missing:
            system.command("go")
    except pytest.skip.Exception as reason:
        raise Unavailable(str(reason)) from None
    for program in missing:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unavailable(f"{program.name} is not built, and no time is left to build it")
        print(f"building {program.name} {program.module[1]} ...", flush=True)
        started = time.monotonic()
        _build(program, left)
        print(f"built {program.name} in {time.monotonic() - started:.0f} s", flush=True)
    for module, path in (JOBSET_CRDS, JOBSET_WEBHOOKS, KUEUE_CRDS, KUEUE_WEBHOOKS):
        module_file(module, path)


def program(name: str) -> str:
    """Path of a program that is built."""
    [found] = [program for program in (*PROGRAMS, *OF_NODES) if program.name == name]
    return str(found.path)


def module_file(module: Module, path: str) -> Path:
    """A file or folder of a module's sources, kept in the cache beside the programs."""
    kept = CACHE / f"{module[0].rpartition('/')[2]}-{module[1]}-files" / path
    if not kept.exists():
        source = Path(_download(module)["Dir"]) / path
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            copy = Path(scratch) / "copy"
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
            copy.rename(kept)
    return kept


def _build(program: Program, seconds: float) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        folder = Path(scratch)
        (folder / "go.mod").write_text(_go_mod(program.module), encoding="utf-8")
        made = folder / program.name
        options = ["-trimpath", f"-ldflags={_version(program.module)}", "-o", str(made)]
        _go(["build", *options, program.package], folder, seconds)
        made.rename(program.path)


def _go_mod(module: Module) -> str:
    """A module that needs this one. Kubernetes' own staging modules are published under versions
    of their own, v0.MINOR.PATCH for its v1.MINOR.PATCH.
    """
    path, version = module
    text = Path(_download(module)["GoMod"]).read_text(encoding="utf-8")
    go = re.search(r"^go \S+$", text, re.MULTILINE)
    assert go
    staged = re.findall(r"(k8s\.io/\S+) => \./staging", text)
    replaced = [f"replace {name} => {name} v0{version.removeprefix('v1')}\n" for name in staged]
    return f"module shardline.test\n\n{go[0]}\n\nrequire {path} {version}\n\n{''.join(replaced)}"


def _version(module: Module) -> str:
    """Linker flags by which Kubernetes' programs know their version, which clients ask for."""
    if module != KUBERNETES:
        return "-s -w"
    major, minor, _ = module[1].removeprefix("v").split(".")
    values = {"gitVersion": module[1], "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    words = [f"-X {package}.{k}={v}" for package in packages for k, v in values.items()]
    return " ".join(["-s -w", *words])


def _download(module: Module) -> dict[str, str]:
    """Where Go keeps a module; fetches it."""
    with tempfile.TemporaryDirectory() as empty:
        name = "@".join(module)
        text = _go(["mod", "download", "-json", name], Path(empty), system.INSTALL_SECONDS)
    found: dict[str, str] = json.loads(text)
    return found


def _go(arguments: list[str], folder: Path, seconds: float) -> str:
    """Output of a `go` command, which leaves the processor to others; raises Unavailable."""
    process = subprocess.Popen(
        ["nice", "-n", "10", "go", *arguments],
        cwd=folder,
        env={**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0", "GOWORK": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=dying_with_parent(),
    )
    what = f"go {arguments[0]} {arguments[-1]}"
    try:
        out, err = process.communicate(timeout=None if math.isinf(seconds) else seconds)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{what} is not done after {seconds:.0f} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # its compilers, too
            process.wait()
    if process.returncode:
        lines = [line for line in err.splitlines() if not line.startswith("go: downloading")]
        raise Unavailable(f"{what}: {lines[-1] if lines else process.returncode}")
    return out
