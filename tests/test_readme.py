"""The README's own commands, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tested_commands() -> list[str]:
    """The lines of the block behind `<!-- tested -->`."""
    block = re.search(r"<!-- tested -->\n```bash\n(.*?)```", README, re.DOTALL)
    assert block
    return block.group(1).splitlines()


@pytest.mark.slow
def test_the_whole_way_by_hand_works_as_written(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "trainer").symlink_to(ROOT / "trainer")
    commands = tested_commands()
    assert len(commands) >= 9
    for command in commands:
        assert command.startswith("python -m ")
        done = subprocess.run(
            [sys.executable, *command.split()[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
    assert (tmp_path / "preview.png").stat().st_size > 10_000
    assert len((tmp_path / "odd.csv").read_text(encoding="utf-8").splitlines()) == 901


def test_every_file_the_readme_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_command_the_readme_names_exists() -> None:
    for package, command in re.findall(r"python -m (preprocess|trainer) (\w+)", README):
        assert (ROOT / package / "commands" / f"{command}.py").exists(), command
