"""Who may import whom, read from the source of every file."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


@functools.cache
def import_statements(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Of a file, wherever in it."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports; `from a import b` gives a and a.b."""
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
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


# The floors of each package, top first: a room imports rooms of lower floors only. Rooms of one
# line stand beside each other and do not import each other.
FLOORS = {
    "preprocess": """
        commands
        examine synth download follow
        build
        engines
        shards
        sources augment
        pictures storage
        live_format
        dataset_format
        dataset_checks
        shell
    """,
    "trainer": """
        commands
        preflight search
        train
        inference
        bottleneck
        training
        workers
        tasks
        data
        models
        measures
        optimizers metrics
        losses report
        monitoring
        config
        compat
    """,
    "launch": """
        commands
        checks start
        foreign watch submit
        backends
        supervisor
        render runs
        flags own_files
        defaults
        spec
        backends.kinds
        runs.status
        augmenting gpus namespace plain_words ports quantity secret_values smoke
    """,
}
# Arrows up that are still there; an arrow that is gone is taken off the list.
STILL_UP: set[tuple[str, str]] = set()


def arrows_up(package: str) -> set[tuple[str, str]]:
    """(room, room) pairs where the first imports the second and does not stand above it."""
    floors = [line.split() for line in FLOORS[package].split("\n") if line.strip()]
    floor = {f"{package}.{room}": at for at, rooms in enumerate(floors) for room in rooms}
    up = set()
    for path in files(package):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        room = room_of(module, floor)
        if not room:  # __init__, __main__ and the presets
            continue
        for name in imports(path):
            other = room_of(name, floor)
            if other and other != room and floor[room] >= floor[other]:
                up.add((room, other))
    return up


def room_of(module: str, floor: dict[str, int]) -> str:
    """The innermost room with a floor of its own that a module is in; '' for none."""
    parts = module.split(".")
    above = (".".join(parts[:end]) for end in range(len(parts), 1, -1))
    return next((room for room in above if room in floor), "")


def test_every_room_and_file_at_the_root_has_its_floor():
    """But the presets, which are data, and what starts a package."""
    for package, floors in FLOORS.items():
        root = {
            path.relative_to(ROOT / package).with_suffix("").parts[0] for path in files(package)
        }
        assert root - {"__init__", "__main__", "configs", "spaces"} <= set(floors.split()), package


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its name; a package's own is that of its __init__."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files(package)
    }


def import_graph(sources: dict[str, Path]) -> dict[str, set[str]]:
    """The modules that each module names in an import, wherever in the file. `from a import b`
    names a.b where that is a module, and a where b is something in it.
    """
    graph = {}
    for name, path in sources.items():
        named: set[str] = set()
        for node in import_statements(path):
            if isinstance(node, ast.Import):
                named.update(alias.name for alias in node.names)
            elif node.module:
                taken = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= taken if taken <= sources.keys() else {*taken, node.module}
        graph[name] = (named & sources.keys()) - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> set[str]:
    """The modules from which a path of imports leads back to themselves."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(graph[name])
        return seen

    return {name for name in graph if name in reached(name)}


def test_no_module_imports_itself_through_others():
    graph = import_graph({**modules("preprocess"), **modules("trainer"), **modules("launch")})
    assert circles(graph) == set()


def test_a_circle_of_imports_is_seen_wherever_the_import_stands(tmp_path):
    """p.a imports q from p.b in a function, p.b the module p.a; p.c only imports both."""
    texts = {
        "p": "from p import c\n",
        "p.a": "def f():\n    from p.b import q\n",
        "p.b": "from p import a\n",
        "p.c": "import p.a\nfrom p.b import q\n",
    }
    sources = {name: tmp_path / f"{name}.py" for name in texts}
    for name, text in texts.items():
        sources[name].write_text(text)
    graph = import_graph(sources)
    assert graph == {"p": {"p.c"}, "p.a": {"p.b"}, "p.b": {"p.a"}, "p.c": {"p.a", "p.b"}}
    assert circles(graph) == {"p.a", "p.b"}


def test_imports_go_down_the_floors_only():
    assert set().union(*map(arrows_up, FLOORS)) == STILL_UP


def test_the_trainer_has_at_most_24_rooms_and_files_at_its_root():
    root = ROOT / "trainer"
    entries = {path.name for path in root.iterdir()} - {"__pycache__"}
    assert len(entries) <= 24, sorted(entries)


# Where a file is named by the word that users write, which the file that does it may have, too.
USERS_WORDS = (
    *("commands", "backends/kinds", "losses", "measures"),
    *("models/backbones", "models/mixing", "models/on_device", "optimizers"),
)
# Names that stand twice for a reason: a task and the reader of its records; a script for Slurm and
# the back end that submits it.
NAMED_TWICE = {"trainer": {"triplets"}, "launch": {"slurm"}, "preprocess": set[str]()}


def named_twice(files: Iterable[str]) -> set[str]:
    """The names of modules that several folders have, but those of users' words."""
    named = Counter(
        Path(file).stem
        for file in files
        if not any(f"/{folder}/" in f"/{file}" for folder in USERS_WORDS)
    )
    return {name for name, count in named.items() if count > 1} - {"__init__"}


def test_a_module_has_a_name_of_its_own_in_its_package():
    for package, known in NAMED_TWICE.items():
        assert named_twice(str(path.relative_to(ROOT)) for path in files(package)) == known


def test_a_name_that_stands_twice_is_seen_unless_it_is_the_users_word():
    assert named_twice(["p/a/stages.py", "p/b/stages.py", "p/a/other.py"]) == {"stages"}
    assert named_twice(["p/commands/export.py", "p/a/export.py", "p/__init__.py"]) == set()


def face_problems(folder: Path, docstring: str) -> list[str]:
    """What the docstring of a room lacks, or names that is not there."""
    text = " ".join(docstring.split())
    named = re.findall(r"(?<![\w./*-])((?:\w+/)+|(?:\w+/)*\w+\.py)(?![\w/])", text)
    lost = [name for name in named if not any((at / name).exists() for at in (folder, ROOT))]
    problems = [f"names {name}, which is not there" for name in lost]
    if "Start reading at " not in text:
        problems.append("does not say where to start reading")
    if not re.search(r"\bimports? ", text, re.IGNORECASE):
        problems.append("does not say what it imports")
    if len(docstring.splitlines()) > 10:
        problems.append("is longer than ten lines")
    return problems


def test_every_room_says_what_lives_there_what_it_imports_and_where_to_start():
    problems = {}
    for package in ("preprocess", "trainer", "launch"):
        for path in (ROOT / package).rglob("__init__.py"):
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            if wrong := face_problems(path.parent, docstring):
                problems[str(path.parent.relative_to(ROOT))] = wrong
    assert problems == {}


def test_a_face_that_names_lost_files_or_says_too_little_is_seen(tmp_path):
    (tmp_path / "here.py").touch()
    (tmp_path / "room").mkdir()
    good = "A room.\n\nroom/ and here.py. Imports nothing. Start reading at here.py."
    assert face_problems(tmp_path, good) == []
    bad = "A room.\n\nSee lost.py, gone/ and room/old.py." + "\n" * 9
    assert face_problems(tmp_path, bad) == [
        "names lost.py, which is not there",
        "names gone/, which is not there",
        "names room/old.py, which is not there",
        "does not say where to start reading",
        "does not say what it imports",
        "is longer than ten lines",
    ]


def test_preprocess_imports_neither_the_other_packages_nor_tensorflow():
    others = ("trainer", "launch", "tensorflow", "tensorflow_hub", "tensorflow_addons", "keras")
    assert importers("preprocess", *others) == set()


def outside(package: str, other: str, *allowed: str) -> dict[str, list[str]]:
    """What files of a package import of another one beside the allowed modules and rooms."""
    result = {}
    for path in files(package):
        used = {name for name in imports(path) if name.split(".")[0] == other}
        odd = {
            name
            for name in used - {other}
            if not any((name + ".").startswith(f"{room}.") for room in allowed)
        }
        if odd:
            result[str(path.relative_to(ROOT))] = sorted(odd)
    return result


CONTRACT = ("dataset_checks", "dataset_format", "live_format")


def test_of_preprocess_the_trainer_imports_the_contract_the_shell_and_the_decoder_only():
    """The decoder, because a picture that is predicted on must have the pixels and the limits that
    a picture of the dataset had: two copies of its rules would drift apart.
    """
    contract = (f"preprocess.{name}" for name in CONTRACT)
    allowed = (*contract, "preprocess.shell", "preprocess.pictures")
    assert outside("trainer", "preprocess", *allowed) == {}


def test_the_decoder_is_light():
    """What it imports, each process of the trainer loads: numpy and Pillow, there anyway."""
    for path in sorted((ROOT / "preprocess" / "pictures").glob("*.py")):
        used = {name.split(".")[0] for name in imports(path)} - {"", "preprocess"}
        assert used - {"numpy", "PIL"} <= set(sys.stdlib_module_names), path
    assert outside("preprocess/pictures", "preprocess", "preprocess.pictures") == {}


def test_the_shell_imports_the_standard_library_and_absl_only():
    for path in sorted((ROOT / "preprocess" / "shell").glob("*.py")):
        used = {name.split(".")[0] for name in imports(path)} - {"", "preprocess"}
        # The libraries of the checksum and of the message of a record, which both sides read. A
        # bar's is imported when one is drawn. YAML is read in one place.
        own = {
            "checksum.py": {"google_crc32c"},
            "example_message.py": {"google"},
            "progress.py": {"tqdm"},
            "yaml_text.py": {"yaml"},
        }
        allowed = {"absl"} | own.get(path.name, set())
        assert used - allowed <= set(sys.stdlib_module_names), path
    assert outside("preprocess/shell", "preprocess", "preprocess.shell") == {}


def test_the_contract_imports_the_standard_library_only():
    for name in CONTRACT:
        used = {each.split(".")[0] for each in imports(ROOT / "preprocess" / f"{name}.py")}
        assert used - {"preprocess"} <= set(sys.stdlib_module_names)


def test_tensorflow_addons_and_hub_are_each_imported_in_one_module():
    assert importers("trainer", "tensorflow_addons") == {"trainer/compat/addons.py"}
    assert len(importers("trainer", "tensorflow_hub")) == 1


def test_the_launcher_needs_neither_tensorflow_nor_beam():
    heavy = ("tensorflow", "tensorflow_hub", "tensorflow_addons", "keras", "apache_beam")
    assert importers("launch", *heavy) == set()


# Of a run's time, which `launch status` shows; standard library only.
ACCOUNT = "trainer.monitoring.time_account"


def test_of_the_others_the_launcher_imports_the_shell_supervisor_and_account_only():
    assert outside("launch", "preprocess", "preprocess.shell") == {}
    assert outside("launch", "trainer", "trainer.workers.supervisor", ACCOUNT) == {}


def test_the_kubernetes_client_is_imported_in_one_module_where_a_server_is_called():
    assert importers("launch", "kubernetes") == {"launch/backends/kube_request.py"}
    path = ROOT / "launch" / "backends" / "kube_request.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
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


def test_no_room_has_the_name_of_a_standard_module():
    """Where `preprocess/__main__.py` is started as a file, its folder comes first in sys.path."""
    packages = ("preprocess", "trainer", "launch")
    names = {path.stem for package in packages for path in (ROOT / package).iterdir()}
    assert "commands" in names
    assert not names & sys.stdlib_module_names
