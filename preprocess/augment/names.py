"""Which recipes there are, and which operations they can name, without loading what these need."""

from __future__ import annotations

from pathlib import Path

from preprocess.shell.entries import Entries

RECIPES = Path(__file__).parent / "recipes"
SHIPPED_RECIPES = tuple(sorted(path.stem for path in RECIPES.glob("*.yaml")))
OPERATION_FILES = Entries("operation", "preprocess.augment.operations")
DESCRIPTIONS = {name: OPERATION_FILES.summary(name) for name in OPERATION_FILES.names()}
