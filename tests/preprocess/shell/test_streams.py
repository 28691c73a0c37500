"""A command goes on when nobody reads what it says, and no file takes the place of a stream."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
# Says something that nobody reads, works on, and leaves what it did in a file.
TALKS = """
import os, sys
from preprocess.shell.cli import say
from preprocess.shell.streams import keep_talking
keep_talking()
sys.stdin.read()  # until the reader has left
for number in range(3):
    say(f"line {number}")
os.write(2, b"from native code")
with open(sys.argv[1], "w") as file:
    file.write(f"done, as descriptor {file.fileno()}")
"""


def run(tmp_path, program, before="", **options):
    """A program in a shell that closes descriptors first; (exit code, what it left in its file)."""
    file = tmp_path / "file"
    words = ["bash", "-c", f'exec "$0" -c "$1" "$2" {before}', sys.executable, program, str(file)]
    process = subprocess.Popen(words, cwd=REPOSITORY, stdin=subprocess.PIPE, **options)
    for stream in (process.stderr, process.stdout, process.stdin):
        if stream:
            stream.close()
    return process.wait(60), file.read_text() if file.exists() else None


def test_a_reader_of_stderr_that_leaves_ends_nothing(tmp_path):
    code, left = run(tmp_path, TALKS, stderr=subprocess.PIPE)
    assert code == 0 and left.startswith("done")


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-"])
def test_streams_that_are_closed_from_the_start_are_not_a_file_s(tmp_path, closed):
    """Otherwise the file would be descriptor 1 or 2, and have the native code's line in it."""
    code, left = run(tmp_path, TALKS, closed)
    assert code == 0 and int(left.rpartition(" ")[2]) > 2


BREAKS = """
import sys
from types import SimpleNamespace
from preprocess.shell import cli
def work(_):
    sys.stdin.read()  # until the reader, if any, has left
    raise BrokenPipeError(32, "Broken pipe")
cli._command = lambda *_: SimpleNamespace(main=work, __doc__="")
sys.argv[1:] = ["go"]
cli.run("package", "", {"go": ""})
"""


def test_a_broken_connection_is_not_taken_for_a_reader_that_left():
    """It ended with 0, as if all were done, in the middle of the work."""
    done = subprocess.run(
        [sys.executable, "-c", BREAKS],
        cwd=REPOSITORY,
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "BrokenPipeError" in done.stderr


def test_a_reader_of_the_result_that_left_is_nobody_s_error(tmp_path):
    code, _ = run(tmp_path, BREAKS, stdout=subprocess.PIPE)
    assert code == 0


def test_a_list_of_commands_whose_reader_has_left_is_no_error():
    """`python -m preprocess --help | head -1`, with the reader gone before the first line."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "preprocess", "--help"],
        cwd=REPOSITORY, stdout=writer, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
