"""Files that are whole, or as they were before: a temporary file next to it, then a rename."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator

# What fsync of a folder reports where the file system has none (CIFS, gocryptfs, some of FUSE):
# the content of the files is synced all the same, and nothing more can be asked for.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Waits until the disk knows the names in a folder, where its file system can tell."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def temporary_name(path: str | os.PathLike[str]) -> str:
    """A name next to `path` that no other writer uses.

    Not the process id: in containers that share a disk all are number 1.
    """
    return f"{os.fspath(path)}.tmp-{secrets.token_hex(4)}"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], sync: bool = True) -> Iterator[str]:
    """Yields a temporary name, which the body writes as a file; it then takes the name `path`.

    Where the body raises, the temporary file is removed and `path` is as it was. Several writers
    at a time, on any machines, do no harm: one is last.

    Args:
      path: the final name.
      sync: whether the content is on the disk before it takes the name, for what has to survive
        a power cut.

    Raises:
      OSError: of writing or renaming.
    """
    temporary = temporary_name(path)
    try:
        yield temporary
        if sync:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_bytes(
    path: str | os.PathLike[str], data: bytes, sync: bool = True, private: bool = False
) -> None:
    """Writes a file at once; see `replacing`. Nobody else may read it where it is `private`."""

    def opened(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600 if private else 0o666)

    with replacing(path, sync) as temporary, open(temporary, "wb", opener=opened) as file:
        file.write(data)


def write_text(
    path: str | os.PathLike[str], text: str, sync: bool = True, private: bool = False
) -> None:
    """The same for text, as UTF-8."""
    write_bytes(path, text.encode("utf-8"), sync, private)
