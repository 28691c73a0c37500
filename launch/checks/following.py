"""Whether the follower of `--augment_workers` could make variants: its dataset and its recipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from launch.checks.result import Result, fail, ok, warning
from launch.checks.storage import on_a_volume
from launch.spec import Spec
from preprocess.shell.nearest import nearest

RECIPE = "--augment_recipe"
RECIPES = Path(__file__).parents[2] / "preprocess" / "augment" / "recipes"  # a file each
SECONDS = 60.0  # loads OpenCV and reads two small files


def following(spec: Spec) -> list[Result]:
    """No result for a run without a follower, or for what cannot be tested from here."""
    if not spec.follower:
        return []
    if spec.kind.in_cluster:
        return [_in_a_pod(spec)] if spec.augment_recipe else []
    if not os.path.isdir(spec.flag("data")):
        return []  # at an address, or missing: see storage.py
    return [_here(spec)]


def _in_a_pod(spec: Spec) -> Result:
    """A shipped recipe, or a file that its pods see."""
    recipe = spec.augment_recipe
    shipped = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    if recipe in shipped:
        return ok(RECIPE, f"'{recipe}' comes with the builder")
    if "://" in recipe:
        return warning(RECIPE, f"{recipe}: cannot be tested from here")
    if recipe.startswith("/"):
        return on_a_volume(RECIPE, recipe, spec)
    near = nearest(recipe, shipped) or shipped
    remedy = f"{RECIPE}={near[0]}, or the path of a file on a volume (of {', '.join(shipped)})"
    return fail(RECIPE, f"there is no recipe '{recipe}'", remedy)


def _here(spec: Spec) -> Result:
    """What the follower itself finds, by its own command: it needs what the launcher does not."""
    command = [sys.executable, *spec.follower[1:], "--check"]
    name = RECIPE if spec.augment_recipe else "follower"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return warning(name, f"cannot tell whether the follower could start: {error}")
    if done.returncode == 0:
        return ok(name, f"variants of '{spec.flag('data')}' can be made")
    lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
    return fail(name, lines[-1], f"correct {RECIPE} or --data")
