"""Opening files that a stranger may have put there."""

import os
import socket

import pytest

from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import (
    FileTooLargeError,
    NotRegularFileError,
    append_regular,
    odd_entries,
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


def test_what_is_no_file_of_a_folder_is_found_at_any_depth(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "file").write_text("")
    (folder / "inside").symlink_to(folder / "a")
    assert list(odd_entries(folder)) == []
    (folder / "a" / "b" / "out").symlink_to(tmp_path)
    (folder / "gone").symlink_to(tmp_path / "not there")
    os.mkfifo(folder / "a" / "pipe")
    monkeypatch.chdir(folder)  # a socket's path is at most 108 bytes long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert {*odd_entries(folder)} == {"a/b/out", "gone", "a/pipe", "socket"}
        assert {*odd_entries(folder, depth=2)} == {"gone", "a/pipe", "socket"}
    (tmp_path / "link").symlink_to(folder)
    assert {*odd_entries(tmp_path / "link", depth=1)} == {"gone", "socket"}


def test_lines_are_added_to_plain_files_only(tmp_path):
    for text in ("one\n", "two\n"):
        with append_regular(tmp_path / "log") as file:
            file.write(text)
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    (tmp_path / "link").symlink_to(tmp_path / "log")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(OSError, match=name):
            append_regular(tmp_path / name)
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
