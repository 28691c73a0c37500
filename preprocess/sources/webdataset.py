"""Webdataset: tar files with KEY.jpg and its label in KEY.cls or KEY.json.

A key is a member's name up to the first dot of its last part; the rest is the field.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from preprocess import storage
from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import item_readers
from preprocess.sources.archives import Member, list_members
from preprocess.sources.container_files import ContainerFile, find_files, read_names
from preprocess.sources.labelled_items import Item, Label, labelled_source
from preprocess.sources.leftovers import is_passed_over
from preprocess.sources.picture_files import PICTURE_SUFFIXES
from preprocess.sources.places import parse
from preprocess.sources.refusals import Refused
from preprocess.sources.rows import Request, Source
from preprocess.sources.source_kind import TAR_SUFFIXES, Evidence, SourceKind

MAX_LABEL_BYTES = 1 << 20  # of a .cls or .json
CLASS_NAMES = ("classnames.txt", "classes.txt", "labels.txt")  # next to the tars: a class a line
_LABEL_FIELDS = ("cls", "json", "cls.txt")
_JSON_KEYS = ("label", "cls", "class", "class_name", "category", "target")
_NUMBER = re.compile(r"-?[0-9]{1,9}")


def read(request: Request) -> Source:
    """Lists the tars and reads their labels; a picture is a member."""
    for ours, _ in request.columns:
        if ours not in ("image", "label"):
            raise UsageError(f"--columns: unknown name '{ours}'; this source has image, label")
    columns = dict(request.columns)
    files = find_files(request, TAR_SUFFIXES, archives=True)
    items = [item for file in files for item in _items(file, columns)]
    return labelled_source(items, _class_names(files), request)


def _items(file: ContainerFile, columns: Mapping[str, str]) -> Iterator[Item]:
    samples: dict[str, dict[str, Member]] = {}
    for name, member in list_members(file.path).members.items():
        folder, base = posixpath.split(name)
        if not is_passed_over(base) and "." in base:
            key, _, field = base.partition(".")
            samples.setdefault(posixpath.join(folder, key), {})[field.lower()] = member
    pictures = 0
    for key, fields in samples.items():
        field = _picture_field(fields, columns.get("image", ""), file, key)
        if not field:
            continue
        pictures += 1
        member = fields[field]
        place = parse(member.place) or Refused(member.reason, member.detail)
        yield Item(file.split, _label(fields, columns.get("label", "")), f"{key}.{field}", place)
    if not pictures:
        raise DataError(f"'{file.path}' has no pictures KEY.jpg")


def _picture_field(fields: Mapping[str, Member], wanted: str, file: ContainerFile, key: str) -> str:
    """The field of a sample that is its picture; "" if it has none."""
    if wanted:
        return wanted.lower() if wanted.lower() in fields else ""
    found = [name for name in fields if posixpath.splitext(f"KEY.{name}")[1] in PICTURE_SUFFIXES]
    plain = [name for name in found if "." not in name]
    if len(found) > 1 and len(plain) != 1:
        raise DataError(
            f"'{file.name}' has several pictures for '{key[:80]}': {', '.join(found)[:80]}. "
            f"Choose with --columns=image={found[0]}"
        )
    return (plain or found or [""])[0]


def _label(fields: Mapping[str, Member], wanted: str) -> Label:
    """The label of a sample, from its .cls, or from a key of its .json; None if it has none."""
    if wanted in fields:
        return _parsed(_text(fields[wanted]))
    for field in _LABEL_FIELDS:
        if field not in fields or (wanted and field != "json"):
            continue
        text = _text(fields[field])
        if field != "json":
            return _parsed(text)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return _of_json(value, wanted)
    return None


def _of_json(value: Any, wanted: str) -> Label:
    if isinstance(value, dict):
        keys = (wanted,) if wanted else _JSON_KEYS
        value = next((value[key] for key in keys if key in value), None)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return _parsed(value) if isinstance(value, str) else value


def _parsed(text: str) -> Label:
    text = text.strip()
    return int(text) if _NUMBER.fullmatch(text) else text


def _text(member: Member) -> str:
    """A small member's text; "" if it cannot be read."""
    if member.reason:
        return ""
    try:
        return item_readers.read_bytes(member.place, MAX_LABEL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _class_names(files: list[ContainerFile]) -> list[str]:
    """Class names by number from a list next to the tars; [] if there is none."""
    for folder in dict.fromkeys(os.path.dirname(file.path) for file in files):
        for place in (folder, os.path.dirname(folder)):
            for name in CLASS_NAMES:
                path = os.path.join(place, name)
                if storage.exists(path):
                    return read_names(path, MAX_LABEL_BYTES)
    return []


def _recognise(evidence: Evidence) -> str:
    return evidence.webdataset


KIND = SourceKind(
    name="webdataset",
    layout=(
        "webdataset tars of KEY.jpg with KEY.cls or KEY.json (--images=DIR or FILE.tar; "
        "--columns=label=KEY_OF_THE_JSON), class names from a classnames.txt next to them"
    ),
    read=read,
    recognise=_recognise,
    owns_images=True,
)
