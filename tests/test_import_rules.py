"""Who may import whom, read from the source of every file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in it; `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports would escape these rules"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def importers(package: str, *roots: str) -> set[str]:
    """Files of a package that import one of these top-level modules."""
    return {
        str(path.relative_to(ROOT))
        for path in files(package)
        if {name.split(".")[0] for name in imports(path)} & set(roots)
    }


def test_preprocess_imports_neither_the_other_packages_nor_tensorflow():
    others = ("trainer", "launch", "tensorflow", "tensorflow_hub", "tensorflow_addons", "keras")
    assert importers("preprocess", *others) == set()


def test_of_preprocess_the_trainer_imports_the_contract_only():
    allowed = ("preprocess", "preprocess.dataset_format")
    for path in files("trainer"):
        used = {name for name in imports(path) if name.split(".")[0] == "preprocess"}
        outside = {name for name in used if not (name + ".").startswith(f"{allowed[1]}.")}
        assert outside <= {allowed[0]}, f"{path} imports {sorted(outside)}"


def test_the_contract_imports_the_standard_library_only():
    used = {name.split(".")[0] for name in imports(ROOT / "preprocess" / "dataset_format.py")}
    assert used <= set(sys.stdlib_module_names)


def test_tensorflow_addons_and_hub_are_each_imported_in_one_module():
    assert importers("trainer", "tensorflow_addons") == {"trainer/addons.py"}
    assert len(importers("trainer", "tensorflow_hub")) == 1


def test_the_launcher_needs_neither_tensorflow_nor_beam_nor_the_builder():
    heavy = ("tensorflow", "tensorflow_hub", "tensorflow_addons", "keras", "apache_beam")
    assert importers("launch", "preprocess", *heavy) == set()


def test_of_the_trainer_the_launcher_imports_the_light_modules_only():
    light = {"trainer", "trainer.cli", "trainer.errors", "trainer.gang", "trainer.json_text"}
    for path in files("launch"):
        used = {name for name in imports(path) if name.split(".")[0] == "trainer"}
        # `from trainer.cli import say` gives trainer.cli and trainer.cli.say.
        outside = {
            n for n in used if n not in light and n.rpartition(".")[0] not in light - {"trainer"}
        }
        assert outside == set(), f"{path} imports {sorted(outside)}"


def test_the_kubernetes_client_is_imported_in_one_module_where_a_server_is_called():
    assert importers("launch", "kubernetes") == {"launch/kube.py"}
    tree = ast.parse((ROOT / "launch" / "kube.py").read_text(encoding="utf-8"))
    at_import = {
        name
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (getattr(node, "module", None), *(a.name for a in node.names))
        if name
    }
    assert not {name for name in at_import if name.startswith("kubernetes")}


def test_tests_of_the_builder_do_without_tensorflow():
    assert importers("tests/preprocess", "tensorflow") == set()
