"""A file is whole or as it was before, and nothing else is left beside it."""

from __future__ import annotations

import threading

import pytest

from preprocess.shell.atomic import replacing, write_bytes, write_text


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_is_replaced_as_a_whole(tmp_path, sync):
    write_text(tmp_path / "a", "one", sync)
    write_text(str(tmp_path / "a"), "zwölf", sync)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text(encoding="utf-8") == "zwölf"


def test_what_failed_leaves_the_file_as_it_was(tmp_path):
    write_bytes(tmp_path / "a", b"before")

    def fail() -> None:
        with replacing(tmp_path / "a") as temporary, open(temporary, "wb") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "no" / "a", "one")


def test_writers_at_the_same_time_leave_one_of_their_files(tmp_path):
    texts = [str(number) * 100_000 for number in range(8)]
    threads = [
        threading.Thread(target=write_text, args=(tmp_path / "a", text, False)) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() in texts
