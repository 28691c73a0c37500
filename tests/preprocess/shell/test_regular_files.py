"""Opening files that a stranger may have put there."""

import os
import socket

import pytest

from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import (
    FileTooLargeError,
    NotRegularFileError,
    open_regular,
    read_json,
    read_regular,
)


def test_an_ordinary_file_is_read_up_to_its_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(FileTooLargeError, match="5 bytes, 4 are allowed"):
        read_regular(tmp_path / "file", 4)


def test_a_sparse_file_of_40_gb_is_refused_without_being_read(tmp_path):
    with open(tmp_path / "big.jpg", "wb") as file:
        file.truncate(40 << 30)
    with pytest.raises(FileTooLargeError):
        read_regular(tmp_path / "big.jpg", 64 << 20)


def test_pipes_sockets_devices_and_folders_are_no_files(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # a socket's path is at most 108 bytes long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path in ("pipe", "/dev/zero", "."):
            with pytest.raises(NotRegularFileError, match="not a regular file"):
                open_regular(path)
        with pytest.raises(OSError, match="socket"):
            open_regular("socket")


@pytest.mark.parametrize("text", ["[1]", "5", "{", "[" * 100_000, "\xff"])
def test_what_is_no_json_object_is_refused_by_its_file(tmp_path, text):
    (tmp_path / "file.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"file\.json"):
        read_json(tmp_path / "file.json")
