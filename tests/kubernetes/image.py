"""The images of the pods, by buildah: k8s/docker/cpu.Dockerfile on a base made by debootstrap.

The base has the name that the Dockerfile asks for and Debian's own Python of that minor version:
a registry of images is not needed. Layers are kept in the cache, so that new code takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from tests.integration import system
from tests.kubernetes import binaries

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "k8s/docker/cpu.Dockerfile"
FOLDER = binaries.CACHE / "images"
PAUSE, TRAINER = "registry.test/pause:1", "registry.test/shardline:1"
# The settings by which pip reaches its registry here, for the time of the build.
_PIP = ("/etc/pip.conf", "/etc/ssl/certs")
_PAUSE = (
    'package main\n\nimport "time"\n\nfunc main() {\n\tfor {\n\t\ttime.Sleep(time.Hour)\n\t}\n}\n'
)


def archives() -> tuple[Path, Path]:
    """Where the images are once they are made: what holds a pod's namespaces, and the trainer."""
    return FOLDER / "pause.tar", FOLDER / f"shardline-{_version()}.tar"


def unpacked() -> Path:
    """Where they are as a containerd's root, once a node has unpacked them."""
    return FOLDER / f"containerd-{_version()}"


def ready() -> None:
    """Makes what is missing; raises Unavailable."""
    pause, trainer = archives()
    if unpacked().exists() or (pause.exists() and trainer.exists()):
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in set(FOLDER.glob("shardline-*.tar")) - {trainer}:
        old.unlink()
    for name in ("buildah", "debootstrap"):
        system.command(name, name)
    print("building the image of the pods ...", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        folder = Path(scratch)
        if not pause.exists():
            _make_pause(folder)
            _pack(PAUSE, pause, folder)
        _make_base(folder)
        mounts = [f"--volume={path}:{path}:ro" for path in _PIP if os.path.exists(path)]
        _buildah("bud", "--isolation=chroot", "--layers", *mounts, f"--file={DOCKERFILE}",
                 f"--tag={TRAINER}", ROOT)  # fmt: skip
        _pack(TRAINER, trainer, folder)
    print(f"built it in {time.monotonic() - started:.0f} s", flush=True)


def _version() -> str:
    """Changes with whatever goes into the image."""
    files = [DOCKERFILE, ROOT / "requirements-hashes.txt"]
    for package in ("preprocess", "trainer", "launch"):
        files += sorted(p for p in (ROOT / package).rglob("*")
                        if p.is_file() and "__pycache__" not in p.parts)  # fmt: skip
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return found.hexdigest()[:16]


def _make_pause(folder: Path) -> None:
    (folder / "pause.go").write_text(_PAUSE, encoding="utf-8")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""}
    _run(["go", "build", "-ldflags=-s -w", "-o", folder / "pause", "pause.go"], folder, environment)
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nCMD ["/pause"]\n')
    _buildah("bud", "--isolation=chroot", f"--tag={PAUSE}", folder)


def _make_base(folder: Path) -> None:
    [name] = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    full = f"docker.io/library/{name}"
    if _buildah("images", "--quiet", "--filter", f"reference={full}").strip():
        return
    release = name.rpartition("-")[2]
    root = folder / "base"
    _run(["debootstrap", "--variant=minbase", "--include=python3,python3-venv", release, root])
    for link in ("python", "python3"):
        (root / "usr/local/bin" / link).symlink_to("/usr/bin/python3")
    for kept in ("var/cache/apt/archives", "var/lib/apt/lists"):
        _run(["find", root / kept, "-type", "f", "-delete"])
    container = _buildah("from", "scratch").strip()
    _buildah("copy", "--quiet", container, root, "/")
    path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    _buildah("config", f"--env={path}", "--cmd=python3", container)
    _buildah("commit", "--quiet", "--rm", container, full)


def _pack(name: str, archive: Path, folder: Path) -> None:
    made = folder / archive.name
    # An archive of this kind is not compressed, which would take minutes.
    _buildah("push", "--quiet", name, f"docker-archive:{made}:{name}")
    made.rename(archive)


def _buildah(*arguments: str | Path) -> str:
    store = [f"--root={FOLDER / 'store'}", f"--runroot={FOLDER / 'store-run'}"]
    environment = {**os.environ, "TMPDIR": str(FOLDER)}  # an image may be larger than /tmp
    return _run(["buildah", *store, "--storage-driver=overlay", *arguments], None, environment)


def _run(
    command: list[str | Path], folder: Path | None = None, environment: dict[str, str] | None = None
) -> str:
    """Output of a program, which leaves the processor to others."""
    words = ["nice", "-n", "10", *map(str, command)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise binaries.Unavailable(f"{' '.join(words[3:5])}: {lines[-1] if lines else ''}")
    return done.stdout
