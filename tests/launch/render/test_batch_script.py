"""A batch script is lines of ours alone: whatever a folder or flag is called, nothing is added."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.render.slurm import batch_script
from launch.spec import Spec
from preprocess.shell.errors import UsageError
from tests.launch.made import spec

HOSTILE = ["a b", 'q"uo"te', "it's", "back\\slash", "#hash", "$(touch pwned)", "`id`", "%j-%%",
           "a;b", "--uid=0", "ünï 東", "a&b|c>d", "~", "*", "!x"]  # fmt: skip
PATHS = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=20)


def sbatch_words(line: str) -> list[str]:
    """The options of a comment as sbatch takes them apart (Slurm 22.05, `_get_next_opt_arg`).

    A backslash takes the next character as it is, inside quotes of either kind, too; `#` where a
    word would begin ends the line.
    """
    words, rest = [], line.removeprefix("#SBATCH")
    while rest := rest.lstrip():
        if rest[0] == "#":
            break
        word, quote, at = "", "", 0
        while at < len(rest) and (quote or not rest[at].isspace()):
            letter = rest[at]
            if letter == "\\":
                at += 1
                word += rest[at]
            elif quote and letter == quote:
                quote = ""
            elif not quote and letter in "\"'":
                quote = letter
            else:
                word += letter
            at += 1
        assert not quote, line
        words.append(word)
        rest = rest[at:]
    return words


def script(made: Spec, folder: str = "/here", lives: str = "/runs/lives") -> str:
    return batch_script(made, folder, "/venv/bin/python", lives, 0, 0)


def options(text: str) -> list[str]:
    """All that sbatch reads from a script; asserts one option a line, for a shell's eye, too."""
    found = []
    for line in text.split("\n"):
        if line.startswith("#SBATCH"):
            assert shlex.split(line.removeprefix("#SBATCH"), comments=True) == sbatch_words(line)
            assert len(sbatch_words(line)) == 1
            found += sbatch_words(line)
    return found


@given(PATHS, PATHS)
def test_whatever_the_folders_are_called_each_is_one_option(folder, lives):
    plain = options(script(spec(backend="slurm")))
    found = options(script(spec(backend="slurm"), f"/{folder}", f"/{lives}"))
    assert f"--chdir=/{folder}" in found
    assert f"--output=/{lives.replace('%', '%%')}/batch.log" in found
    assert len(found) == len(plain)


@pytest.mark.parametrize("line", ["a\nb", "a\rb", "a\x1b[2Jb", "a\x00b", "a\u2028b"])
def test_a_folder_with_a_line_feed_or_another_control_character_is_refused(line):
    for folders in ({"folder": line}, {"lives": line}):
        with pytest.raises(UsageError, match="control character") as refusal:
            script(spec(backend="slurm"), **folders)
        assert str(refusal.value).isprintable()


def test_the_shell_hands_every_word_on_as_it_was_given(tmp_path):
    """Runs the script with a srun that prints its arguments, each ended by a NUL."""
    made = spec(
        backend="slurm",
        arguments=tuple(HOSTILE),
        env=tuple((f"V{i}", v) for i, v in enumerate(HOSTILE)),
    )
    text = script(made, lives='/runs/it\'s a "life"').replace("exec ", "true ")
    head = (
        'srun() { printf "%s\\0" "$@"; for i in $(seq 0 99); do v=V$i\n'
        '[ -v $v ] && printf "%s\\0" "${!v}"; done; }\n'
    )
    done = subprocess.run(
        ["bash"], input=head + text, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    words = done.stdout.split("\0")
    begin = words.index("trainer") + 2
    assert words[begin:] == [*HOSTILE, *HOSTILE, ""]
    assert '--attempts=/runs/it\'s a "life"' in words
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
