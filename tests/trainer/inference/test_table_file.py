"""The CSV file of results: refused before any work where it cannot be written."""

import contextlib
import resource
import shutil

import pytest

from preprocess.shell.errors import OutputError, UsageError
from preprocess.shell.exit_codes import ExitCode
from trainer.inference.table_file import writing_table


@pytest.mark.parametrize("name", [".", "gone/rows.csv"])
def test_what_cannot_be_written_costs_no_work(tmp_path, name):
    with pytest.raises(UsageError, match=r"^--output="), writing_table(str(tmp_path / name)):
        pytest.fail("the body has begun")


def test_a_body_that_fails_leaves_no_file(tmp_path):
    def fail():
        with writing_table(str(tmp_path / "rows.csv")) as write:
            write(["id"])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def files_of_at_most(size):
    """As on a disk that is full after so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_rows(path, rows):
    with writing_table(str(path)) as write:
        for _ in range(rows):
            write(["a name", "0.5"])


@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_full_disk_is_told_in_a_line_whenever_it_is_noticed(tmp_path, rows):
    """A few rows are in memory until the file is closed; many are written before."""
    path = tmp_path / "rows.csv"
    with pytest.raises(OutputError) as caught, files_of_at_most(4):
        write_rows(path, rows)
    assert caught.value.exit_code == ExitCode.STORAGE
    assert str(caught.value) == f"--output='{path}': File too large; no file was written"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_at_the_end_is_named_too(tmp_path):
    def lose():
        with writing_table(str(tmp_path / "gone" / "rows.csv")):
            shutil.rmtree(tmp_path / "gone")

    (tmp_path / "gone").mkdir()
    with pytest.raises(OutputError, match=r"rows.csv': No such file or directory"):
        lose()


def test_an_error_of_the_body_is_not_the_files(tmp_path):
    with pytest.raises(FileNotFoundError), writing_table(str(tmp_path / "rows.csv")):
        (tmp_path / "pictures").read_bytes()
    assert list(tmp_path.iterdir()) == []
