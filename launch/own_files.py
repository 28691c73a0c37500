"""The user's own code, FILE.py:NAME in a worker's flags, on the way into pods.

A pod has what its image and its volumes have. A file of this machine is sent along, with the files
that it imports from next to it: they become a ConfigMap of the run, mounted at MOUNT, and the flags
name them there.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from launch.secret_values import secret_reason
from launch.spec import OwnFile, Spec
from preprocess.shell.cli import say
from preprocess.shell.errors import ConfigError, DataError, UsageError
from preprocess.shell.reference_source import source_files, source_texts
from preprocess.shell.references import absolute_reference, is_file_reference, split_reference

MOUNT = "/own"
# A ConfigMap holds 1 MiB, with names and what the server adds; and each file is named in the pod
# and in the record, an annotation, of which an object has 256 KiB.
MAX_BYTES = 512 << 10
MAX_FILES = 500
SHOWN_FILES = 6
_AROUND = " ()[]'\""  # an item of a list, as a configuration key takes it
_PLAIN = re.compile(r"[A-Za-z0-9_][-.A-Za-z0-9_]*")


def with_own_files(spec: Spec) -> Spec:
    """A run in a cluster with the files of this machine that its flags name; one line says which.

    A relative path depends on the folder it is used in, and an absolute one that exists here, off
    all volumes, is this machine's. Others may be in the image.

    Raises:
      UsageError: a file that cannot be sent. ConfigError: one with a mistake of syntax.
      DataError: a run that is started again, whose files are no longer known.
    """
    if not spec.kind.in_cluster:
        return spec
    if spec.own_files:  # the flags name them already
        _check_texts(spec)
        return spec
    folders: dict[str, _Folder] = {}
    arguments = _rewritten(spec, lambda flag, reference: _sent(spec, folders, flag, reference))
    if not folders:
        return spec
    files = tuple(
        OwnFile(f"{folder.name}/{path}", hashlib.sha256(text.encode()).hexdigest(), text)
        for folder in folders.values()
        for path, text in sorted(folder.texts.items())
    )
    _check_size(files)
    _check_mounts(spec)
    say(_described(folders))
    return dataclasses.replace(spec, arguments=arguments, own_files=files)


def with_texts(spec: Spec, texts: Mapping[str, str]) -> Spec:
    """A specification whose own files have their texts, as far as these are known by sha256."""
    files = tuple(
        dataclasses.replace(own, text=texts.get(own.sha256, own.text)) for own in spec.own_files
    )
    return dataclasses.replace(spec, own_files=files)


@dataclasses.dataclass(frozen=True)
class _Folder:
    """A folder of this machine: its path, its name in pods, and what of it is sent."""

    path: str
    name: str
    texts: dict[str, str]


def _sent(spec: Spec, folders: dict[str, _Folder], flag: str, reference: str) -> str:
    """The reference as pods have it; what it needs is added to its folder."""
    place, name = split_reference(reference)
    if any(PurePosixPath(place).is_relative_to(mount.path) for mount in spec.mounts):
        return reference
    path, _ = split_reference(absolute_reference(reference))
    if not os.path.isfile(path):
        if os.path.isabs(place):
            return reference  # may be in the image
        raise UsageError(f"{flag}={reference}: no such file on this machine")
    if not spec.kind.sends_own_files:
        raise UsageError(f"{flag}={reference}: {_ways_out(spec, flag, path, name)}")
    where = os.path.dirname(path)
    _check_files(flag, reference, where)
    folder = folders.setdefault(where, _Folder(where, _new_name(where, folders), {}))
    folder.texts.update(source_texts(reference))
    return f"{MOUNT}/{folder.name}/{os.path.basename(path)}:{name}"


def _ways_out(spec: Spec, flag: str, path: str, name: str) -> str:
    module = os.path.basename(path).removesuffix(".py")
    return (
        f"pods of --backend={spec.backend} do not have the files of this machine; put the folder "
        f"into their image, as a module ({flag}={module}:{name})"
    )


def _check_files(flag: str, reference: str, folder: str) -> None:
    """Raises for files that are not sent: hidden ones, those that are really elsewhere, and what
    _check_code() finds.
    """
    root = os.path.realpath(folder)
    for file in source_files(reference):
        real = Path(os.path.realpath(file))
        if not real.is_relative_to(root):
            raise UsageError(
                f"{flag}={reference}: '{file}' is a link to '{real}', outside of its folder, and "
                "is not sent into pods; copy it into the folder"
            )
        within = (*file.relative_to(folder).parts, *real.relative_to(root).parts)
        if any(part.startswith(".") for part in within) or real.suffix != ".py":
            raise UsageError(
                f"{flag}={reference}: '{file}' is hidden or no .py file, and is not sent into "
                "pods; rename it"
            )
        if real.stat().st_size <= MAX_BYTES:  # larger ones are refused later
            _check_code(f"{flag}={reference}: {file}:", real.read_bytes())


def _check_code(where: str, code: bytes) -> None:
    """Raises for code that Python cannot read, and for a secret in it, which others could read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:
        line = f" line {error.lineno}:" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigError(f"{where}{line} {reason}") from None
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    for text in texts:
        if isinstance(text.value, str) and secret_reason("", text.value):
            raise UsageError(
                f"{where} line {text.lineno}: this text looks like a secret, and all who may read "
                "ConfigMaps in the namespace could read it; read it from a variable of the "
                "environment, --secret=NAME:KEY:VARIABLE"
            )


def _check_size(files: tuple[OwnFile, ...]) -> None:
    size = sum(len(own.text.encode()) for own in files)
    if size <= MAX_BYTES and len(files) <= MAX_FILES:
        return
    largest = max(files, key=lambda own: len(own.text))
    raise UsageError(
        f"own code: {len(files)} files with {size / 1024:.0f} KiB, the largest {largest.path}; at "
        f"most {MAX_FILES} with {MAX_BYTES >> 10} KiB are sent into pods. Put the folder on a "
        "volume (--volume=CLAIM:/PATH, and name the file there, /PATH/FILE.py:NAME) or into the "
        "image"
    )


def _check_mounts(spec: Spec) -> None:
    for mount in spec.mounts:
        if PurePosixPath(MOUNT).is_relative_to(mount.path) or (
            PurePosixPath(mount.path).is_relative_to(MOUNT)
        ):
            raise UsageError(
                f"--volume={mount.claim}:{mount.path}: {MOUNT} is where own code is in pods; "
                "choose another path"
            )


def _check_texts(spec: Spec) -> None:
    for own in spec.own_files:
        if hashlib.sha256(own.text.encode()).hexdigest() != own.sha256:
            raise DataError(
                f"the run's own file {own.path}, as it was submitted, is no longer recorded here "
                "or in the cluster; start the run by `launch` and its flags"
            )


def _new_name(path: str, folders: Mapping[str, _Folder]) -> str:
    """A name that is not in use, the folder's own if possible."""
    own = os.path.basename(path)
    stem = own if _PLAIN.fullmatch(own) else "code"
    used = {folder.name for folder in folders.values()}
    numbered = (f"{stem}-{number}" for number in range(2, len(used) + 3))
    return next(name for name in (stem, *numbered) if name not in used)


def _described(folders: Mapping[str, _Folder]) -> str:
    parts = []
    for folder in folders.values():
        size = sum(len(text.encode()) for text in folder.texts.values())
        names = sorted(folder.texts)
        more = len(names) - SHOWN_FILES
        shown = ", ".join(names[:SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")
        parts.append(f"{shown} ({max(1, round(size / 1024))} KiB) of {folder.path}")
    return f"own code that the run's pods get: {'; '.join(parts)}"


def _rewritten(spec: Spec, change: Callable[[str, str], str]) -> tuple[str, ...]:
    """The worker's flags, with each FILE.py:NAME changed, of several values each one."""
    arguments, before = [], ""
    for argument in spec.arguments:
        flag, equals, value = argument.partition("=")
        if not (equals and flag.startswith("-")):  # --flag VALUE
            flag, equals, value = before, "", argument
        parts = value.split(",")
        if value.lstrip(_AROUND).startswith("{") and (own := _in_mapping(parts)):
            raise UsageError(
                f"{flag}={value}: own code of a mapping cannot be sent into pods; give each part "
                f"as a flag of its own, {flag}.PART={own}"
            )
        for number, part in enumerate(parts):
            item = part.strip(_AROUND)
            if is_file_reference(item):
                parts[number] = part.replace(item, change(flag, item))
        changed = ",".join(parts)
        arguments.append(f"{flag}={changed}" if equals else changed)
        before = argument
    return tuple(arguments)


def _in_mapping(parts: list[str]) -> str:
    """The first FILE.py:NAME among the parts `{name: value`, `name: value` of a mapping."""
    items = (part.strip(f"{_AROUND}{{}}").partition(":")[2].strip(_AROUND) for part in parts)
    return next((item for item in items if is_file_reference(item)), "")
