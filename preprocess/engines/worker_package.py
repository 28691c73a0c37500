"""This package as a wheel, for workers of an engine that do not see its files.

Made here, without a build tool or a network: a wheel of pure Python is an archive of the files
and three descriptions (PyPA's binary distribution format 1.0).
"""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from collections.abc import Iterator

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the package
PACKAGE_FOLDER = os.path.dirname(_HERE)  # what PYTHONPATH names
NAME = "shardline_preprocess"
SUFFIXES = (".py", ".yaml", ".sh")


def build_wheel(folder: str) -> str:
    """Writes the wheel into `folder` and returns its path. Its version names its content, so
    that a worker never takes an older one for it.
    """
    files = {name: _read(name) for name in sorted(_files())}
    content = hashlib.sha256(b"".join(name.encode() + data for name, data in files.items()))
    version = f"0+{content.hexdigest()[:12]}"
    about = f"{NAME}-{version}.dist-info"
    files[f"{about}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n".encode()
    )
    files[f"{about}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: shardline\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    rows = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    record = f"{about}/RECORD"
    files[record] = "".join(f"{row}\n" for row in [*rows, f"{record},,"]).encode()
    path = os.path.join(folder, f"{NAME}-{version}-py3-none-any.whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def _files() -> Iterator[str]:
    for folder, _, names in os.walk(_HERE):
        for name in names:
            if name.endswith(SUFFIXES):
                yield os.path.relpath(os.path.join(folder, name), PACKAGE_FOLDER)


def _read(name: str) -> bytes:
    with open(os.path.join(PACKAGE_FOLDER, name), "rb") as file:
        return file.read()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
