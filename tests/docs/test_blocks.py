"""Every command in the documents exists, and is run by a test or marked with what it needs."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.docs.blocks import NEEDS, ROOT, RUN_BY, Block, all_blocks, documents
from tests.docs.command_flags import PACKAGES, all_commands
from trainer.config.keys import FREE_KEYS, KEYS

CODE = [block for block in all_blocks() if block.is_code]
COMMAND = re.compile(rf"python -m ({'|'.join(PACKAGES)}) (\w+)(.*)")
FLAGS = {(c.package, c.name): {"help", *(flag.name for flag in c.flags)} for c in all_commands()}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def our_commands(block: Block) -> list[tuple[str, str, list[str]]]:
    """(package, command, arguments up to `--`) of the lines of a shell block."""
    found = []
    for line in block.commands() if block.language != "python" else []:
        for package, name, rest in COMMAND.findall(line):
            words = shlex.split(re.split(r"\s(?:--(?=\s|$)|&|;|\|)", rest)[0])
            found.append((package, name, words))
    return found


def test_there_are_blocks_in_the_readme_and_on_most_pages():
    assert len({block.path for block in CODE}) > 15


@pytest.mark.parametrize("block", CODE, ids=lambda block: block.place)
def test_a_block_is_run_by_a_test_or_says_what_it_needs(block):
    kind, _, value = block.marker.partition(": ")
    if kind == "tested":
        assert value in RUN_BY, f"{block.place}: tests/docs/blocks.py has no RUN_BY[{value!r}]"
    elif kind == "tested by":
        text = "".join((ROOT / file).read_text(encoding="utf-8") for file in value.split(", "))
        for _, name, _ in our_commands(block):
            assert name in text, f"{block.place}: {value} does not run `{name}`"
    elif kind == "file":
        test = f"test_docs_{block.path.stem.replace('-', '_')}.py"
        assert (ROOT / "tests" / test).is_file(), f"{block.place}: there is no tests/{test}"
    else:
        assert block.marker.removeprefix("needs ") in NEEDS and block.marker.startswith("needs "), (
            f"{block.place}: no comment above it says which test runs it, or what it needs; see "
            f"tests/docs/blocks.py"
        )


@pytest.mark.parametrize(("name", "file"), RUN_BY.items())
def test_a_tested_block_is_there_once_and_its_test_names_it(name, file):
    found = [block.place for block in all_blocks() if block.marker == f"tested: {name}"]
    assert len(found) == 1, found
    assert f'"{name}"' in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("block", CODE, ids=lambda block: block.place)
def test_its_commands_flags_and_keys_exist(block):
    for package, name, words in our_commands(block):
        assert (package, name) in FLAGS, f"{block.place}: {package} {name}"
        for word in words:
            flag = word.removeprefix("--").partition("=")[0]
            if not word.startswith("--"):
                continue
            if flag.startswith("config."):
                key = flag.removeprefix("config.")
                free = any(key.startswith(f"{each}.") for each in FREE_KEYS)
                assert key in KEYS or free, f"{block.place}: {word}"
            else:
                assert flag in FLAGS[package, name], f"{block.place}: {package} {name} {word}"


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_commands_and_targets_named_in_the_text_exist(path):
    text = path.read_text(encoding="utf-8")
    for package, name, _ in COMMAND.findall(text):
        assert (package, name) in FLAGS, f"python -m {package} {name}"
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert target in TARGETS, f"make {target}"
    if path.name != "extending.md":  # whose examples add keys
        for key in re.findall(r"--config\.([a-z_.]+[a-z_])", text):
            assert key in KEYS or key.startswith(FREE_KEYS), f"--config.{key}"


def test_a_wrong_flag_would_be_found():
    block = Block(ROOT / "README.md", 1, "bash", "", "python -m preprocess info x --nonsense=1\n")
    with pytest.raises(AssertionError, match="nonsense"):
        test_its_commands_flags_and_keys_exist(block)
