"""What is the user's own, by reference: `FILE.py:NAME`, or `MODULE:NAME` where it can be imported.

A file imports its neighbours as if it were started as a script: its folder comes first while it is
imported, and last afterwards, for what its functions import. Files of two folders may have
neighbours of the same name; each folder keeps its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from preprocess.shell.blame import described, own_folder, own_kind
from preprocess.shell.errors import ConfigError, UserError
from preprocess.shell.nearest import did_you_mean
from preprocess.shell.own_names import ROOT

_NAME = r"[A-Za-z_]\w*"
_FILE = re.compile(rf"(?P<place>.*[^/]\.py):(?P<name>{_NAME})", re.DOTALL)
_MODULE = re.compile(rf"(?P<place>{_NAME}(?:\.{_NAME})*):(?P<name>{_NAME})")
_OURS = ("preprocess", "trainer", "launch")

# The modules that were imported from the folder of each file, by name.
_neighbours: dict[str, dict[str, ModuleType]] = {}
_files: dict[str, ModuleType] = {}


def is_reference(text: str) -> bool:
    """Whether a text has the form of one; `keras:NAME` has it, too: tables of names come first."""
    return bool(_FILE.fullmatch(text) or _MODULE.fullmatch(text))


def is_file_reference(text: str) -> bool:
    """Whether a text is `FILE.py:NAME`."""
    return bool(_FILE.fullmatch(text))


def split_reference(text: str) -> tuple[str, str]:
    """The file or module of a reference, and the name in it; raises ValueError for another text."""
    match = _FILE.fullmatch(text) or _MODULE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is neither FILE.py:NAME nor MODULE:NAME")
    return match["place"], match["name"]


def absolute_reference(text: str) -> str:
    """A reference whose file, where it names one, has its absolute path; other texts unchanged."""
    if not is_file_reference(text):
        return text
    place, name = split_reference(text)
    return f"{os.path.abspath(os.path.expanduser(place))}:{name}"


def load_reference(text: str, key: str, error: type[UserError] = ConfigError) -> Any:
    """What a reference names; imports it.

    Args:
      text: `FILE.py:NAME` or `MODULE:NAME`.
      key: what it was given for, such as `loss.name`, for messages.
      error: what is raised.

    Raises:
      UserError: of the class `error`: there is no such file, module or name, or importing it
        fails; in one line, with the file and the line of the user's.
    """
    place, name = split_reference(text)
    module = _file(text, key, error) if is_file_reference(text) else _module(text, key, error)
    try:
        return getattr(module, name)
    except AttributeError:
        hint = did_you_mean(name, [each for each in vars(module) if not each.startswith("_")])
        raise error(f"{key}={text}: '{place}' has no {name}{hint}") from None


def _file(text: str, key: str, error: type[UserError]) -> ModuleType:
    path, _ = split_reference(absolute_reference(text))
    if not os.path.isfile(path):
        raise error(f"{key}={text}: no such file")
    if path in _files:
        return _files[path]
    folder, stem = os.path.split(path.removesuffix(".py"))
    with importing_from(folder), _described(key, error):
        known = sys.modules.get(stem)
        if known is None or not _is_from(known, path):  # not a neighbour's neighbour
            name = _module_name(path, stem, known is not None)
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec
            assert spec.loader
            known = sys.modules[name] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(known)
            except BaseException:
                del sys.modules[name]
                raise
        _files[path] = known
    return known


def _module_name(path: str, stem: str, taken: bool) -> str:
    """What a file is imported as: the name under which its neighbours know it, where that is free;
    the same in every process.
    """
    if stem.isidentifier() and not taken and stem not in (*sys.stdlib_module_names, *_OURS):
        return stem
    return f"{stem}_{hashlib.sha256(path.encode()).hexdigest()[:12]}"


def _module(text: str, key: str, error: type[UserError]) -> ModuleType:
    name, _ = split_reference(text)
    with _described(key, error):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name is None or not f"{name}.".startswith(f"{missing.name}."):
                raise  # of something that the module imports
            raise error(
                f"{key}={text}: no module '{missing.name}' here; name its file, FILE.py:NAME, or "
                "put its folder into PYTHONPATH"
            ) from None
    if file := getattr(module, "__file__", None):
        own_folder(os.path.dirname(os.path.abspath(file)))
    return module


@contextlib.contextmanager
def importing_from(folder: str) -> Iterator[None]:
    """Imports inside find the modules of a folder first, and none of another user's folder."""
    own_folder(folder)
    for other, modules in _neighbours.items():
        for name in modules if other != folder else ():
            sys.modules.pop(name, None)
    ours = _neighbours.setdefault(folder, {})
    sys.modules.update(ours)
    before = set(sys.modules)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the file may change it, too
            sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
        new = {name: sys.modules[name] for name in set(sys.modules) - before}
        ours |= {name: each for name, each in new.items() if _is_beside(name, each, folder)}


@contextlib.contextmanager
def _described(key: str, error: type[UserError]) -> Iterator[None]:
    """What fails inside is the user's mistake, or their disk's, in one line."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as failed:  # a user's file may fail in any way
        kind = own_kind(failed)
        raise (error if kind is ConfigError else kind)(f"{key}: {described(failed)}") from failed


def _is_from(module: ModuleType, path: str) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and os.path.abspath(str(file)) == path


def _is_beside(name: str, module: ModuleType, folder: str) -> bool:
    """Whether a module is a file of the folder, or of a package in it, and none of ours."""
    file, top = getattr(module, "__file__", None), os.path.join(folder, name.partition(".")[0])
    if not file or (folder == ROOT and name.partition(".")[0] in _OURS):
        return False
    return os.path.abspath(file).startswith((f"{top}.py", f"{top}{os.sep}"))


def load_function(
    text: str,
    key: str,
    takes: Sequence[str],
    settings: Mapping[str, Any],
    settings_key: str,
) -> Callable[..., Any]:
    """The function, or class, that a reference names, which takes these arguments and settings.

    Args:
      text: the reference.
      key: what it was given for.
      takes: what its first arguments are.
      settings: its further arguments, by name.
      settings_key: what those were given as.

    Raises:
      ConfigError: as load_reference(), or it is none that takes them.
    """
    function = load_reference(text, key)
    called = f"{split_reference(text)[1]}({', '.join([*takes, *settings])})"
    if not callable(function):
        raise ConfigError(f"{key}={text} is a {type(function).__name__}; it is called as {called}")
    try:
        inspect.signature(function).bind(*takes, **settings)
    except TypeError as error:
        raise ConfigError(
            f"{key}={text}: {error}; it is called as {called}, with settings from {settings_key}"
        ) from None
    except ValueError:  # of C, without a signature
        pass
    result: Callable[..., Any] = function
    return result


def load_class(text: str, key: str, base: type) -> type:
    """The class that a reference names, below a base; raises ConfigError as load_reference(), or
    where it is none.
    """
    found = load_reference(text, key)
    if isinstance(found, type) and issubclass(found, base):
        return found
    what = "no subclass" if isinstance(found, type) else f"a {type(found).__name__}, no subclass"
    raise ConfigError(f"{key}={text} is {what} of {base.__module__}.{base.__name__}")
