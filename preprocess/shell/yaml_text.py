"""Reads a small YAML text that a stranger may have written.

Only plain data, each key once, nothing that grows when it is expanded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from preprocess.shell.errors import ConfigError
from preprocess.shell.shown import shown

MAX_BYTES = 65_536  # what people write is a page; a larger file is another file
_MAX_DEPTH = 24  # a recipe needs 4: mapping, list, operation, range; a pipeline in it more


def read_mapping(text: str, where: str, needs: str) -> dict[Any, Any]:
    """The mapping that `text` holds.

    Args:
        text: YAML.
        where: What the text is, for messages.
        needs: What it should hold, for messages.

    Raises:
        ConfigError: Too long, not YAML, nested too deeply, with an anchor or alias, with a key
            given twice, with a tag beyond plain data, empty, or not a mapping.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{where}: longer than {MAX_BYTES} characters; is it the right file?")
    try:
        _refuse_what_expands(text, where)
        _refuse_repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader), where)
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{where}: not valid YAML{place}: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date or number
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    if value is None:
        raise ConfigError(f"{where}: empty; needs {needs}")
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: received {shown(value)}, needs {needs}")
    return value


def _refuse_what_expands(text: str, where: str) -> None:
    """Looks at the stream of events, before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise ConfigError(
                f"{where}: line {line} uses the anchor or alias {shown(event.anchor)};"
                " write the values out"
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ConfigError(
                f"{where}: line {line} is nested deeper than {_MAX_DEPTH} levels; write it flatter"
            )


def _refuse_repeated_keys(node: yaml.Node | None, where: str) -> None:
    """YAML forbids them and the parser keeps the last, silently."""
    for mapping in _mappings(node):
        seen = set()
        for key, _ in mapping.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # a list as a key: refused when it is built
            if key.value in seen:
                raise ConfigError(
                    f"{where}: line {key.start_mark.line + 1} gives {shown(key.value)} a second"
                    " time; keep one"
                )
            seen.add(key.value)


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Every mapping in the tree."""
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value)
