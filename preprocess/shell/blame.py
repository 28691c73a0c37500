"""Which line of the user's own files an error comes from, for a message without our traceback."""

from __future__ import annotations

import errno
import os
import re
import traceback

from preprocess.shell.errors import DISK_FULL, ConfigError, OutputError, UserError, full_disk
from preprocess.shell.own_names import ROOT

MAX_CHARACTERS = 300
_OURS = tuple(os.path.join(ROOT, name, "") for name in ("preprocess", "trainer", "launch"))
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
# TensorFlow and Keras put the traceback of what they trace, and the layer, into the message.
_IN_MESSAGE = re.compile(r'File "([^"]+)", line (\d+)')
_KIND = re.compile(r"^(\w+(?:Error|Exception|Interrupt)): (.*)")
_WRAPPING = re.compile(
    r"^(in user code:|Exception encountered|Call arguments received|File \"|Arguments received"
    r"|Detected at node|Graph execution error|•|\^+$|~*\^+~*$)"
)

# What TensorFlow raises of the machine, a device or another worker, in whatever file of whoever the
# operation stands. Not UnknownError, which is how it passes on most errors of a Python function.
_OF_THE_MACHINE = frozenset(
    f"{kind}Error"
    for kind in (
        "ResourceExhausted",
        "Unavailable",
        "Aborted",
        "Cancelled",
        "DeadlineExceeded",
        "Internal",
        "DataLoss",
    )
)
_OF_THE_DISK = (*DISK_FULL, errno.EIO, errno.ESTALE)
_DEVICE_WORDS = ("Collective ops is aborted", "oordination service", "cuDNN", "CUDA", "NCCL")

# Folders from which something of the user's was imported.
_folders: set[str] = set()


def own_folder(folder: str) -> None:
    """Notes that the files of a folder are the user's."""
    _folders.add(os.path.join(folder, ""))


def is_own(file: str) -> bool:
    """Whether a file is the user's: in a noted folder, neither ours nor an installed package's."""
    path = os.path.abspath(file)
    return (
        path.startswith(tuple(_folders))
        and not path.startswith(_OURS)
        and not any(part in path for part in _INSTALLED)
    )


def place_of(error: BaseException) -> tuple[str, int] | None:
    """The user's file and its line that an error comes from; None if it comes from elsewhere."""
    if isinstance(error, SyntaxError) and error.filename and is_own(error.filename):
        return error.filename, error.lineno or 0
    frames = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    traced = [(file, int(line)) for file, line in _IN_MESSAGE.findall(str(error))]
    own = [place for place in (*frames, *traced) if is_own(place[0])]
    return own[-1] if own else None


def of_the_machine(error: BaseException) -> bool:
    """Whether TensorFlow raised it of the machine, a device or another worker."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "OpError" not in names:
        return False
    return bool(names & _OF_THE_MACHINE) or any(word in str(error) for word in _DEVICE_WORDS)


def own_mistake(error: BaseException) -> UserError | None:
    """An error that a file of the user's caused, for the user; None of any other."""
    return (
        own_kind(error)(described(error)) if place_of(error) and not of_the_machine(error) else None
    )


def own_kind(error: BaseException) -> type[UserError]:
    """What an error in a file of the user's is: a mistake there, or a disk that takes no more, also
    where another error was raised from that, or TensorFlow passed on its words.
    """
    causes = (error, error.__cause__)
    failing = any(isinstance(e, OSError) and e.errno in _OF_THE_DISK for e in causes)
    return OutputError if failing or full_disk(error) else ConfigError


def described(error: BaseException) -> str:
    """An error in one line: the user's file and line where it comes from them, and the reason."""
    place = place_of(error)
    where = f"{place[0]}, line {place[1]}: " if place else ""
    return f"{where}{_reason(error)}"


def _reason(error: BaseException) -> str:
    kind = type(error).__name__
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and _IN_MESSAGE.search(text):
        named = [match for match in map(_KIND.match, lines) if match]
        if named:
            kind, first = named[-1].groups()
            lines = [first]
        else:
            lines = [line for line in lines if not _WRAPPING.match(line)] or lines
    elif lines and lines[0].startswith("Exception encountered"):
        lines = [line for line in lines if not _WRAPPING.match(line)] or lines
    return f"{kind}: {lines[0][:MAX_CHARACTERS]}" if lines else kind
