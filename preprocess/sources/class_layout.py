"""Finds the class folders, SPLIT/CLASS/FILE or CLASS/FILE, or suggests another --images."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection
from typing import NamedTuple

from preprocess import storage
from preprocess.shell.errors import DataError
from preprocess.sources.folder import Folder, open_folder
from preprocess.sources.label_tables import ANY_TABLE, labels_found
from preprocess.sources.picture_files import is_other_file, is_picture_name
from preprocess.sources.splitting import SPELLINGS

_MAX_CHAIN = 8  # folders; a link back to one of them would be endless
LAYOUT = "the expected layout is SPLIT/CLASS/FILE or CLASS/FILE"


class Layout(NamedTuple):
    """The class folders of a picture folder."""

    splits: list[str]  # names of the folders that are splits; [] for CLASS/FILE
    folders: list[tuple[str, str]]  # (folder of the split or "", class folder)
    warnings: list[str]


def find_layout(root: Folder, images: str, spellings: Collection[str] = SPELLINGS) -> Layout:
    """The layout of an opened folder; `images` is its name as the user gave it, `spellings` are the
    possible split names, in lower case.

    Raises DataError for folders that mix splits and classes or are a level too high or too low, and
    suggests a better folder if there is one.
    """
    tops = root.folders()
    named = [top for top in tops if is_split(top, spellings)]
    if any(root.folders(top) for top in named):
        return _by_split(root, images, tops, named)
    if named == tops:
        raise DataError(_without_classes(root, images, named, spellings))
    return _by_class(root, images, tops, spellings)


def is_split(name: str, spellings: Collection[str] = SPELLINGS) -> bool:
    """Whether a folder has the name of a split."""
    return name.lower() in spellings


def pictures_directly(root: Folder, below: str = "") -> int:
    """How many pictures, by suffix, are directly in a folder."""
    return sum(is_picture_name(name) for name in root.files(below))


def _by_split(root: Folder, images: str, tops: list[str], splits: list[str]) -> Layout:
    others = [top for top in tops if top not in splits]
    classes = [top for top in others if _may_be_class(root, top)]
    if classes:
        raise DataError(
            f"'{images}' mixes splits ({', '.join(splits)}) with other folders "
            f"({', '.join(classes)[:80]}); {LAYOUT}. If these are splits too, name them: "
            f"--splits={','.join([*splits, *classes])[:80]}. If '{splits[0]}' is a class, move all "
            "class folders into a folder called train"
        )
    warnings = []
    if others:
        warnings.append(f"folders without pictures were skipped: {', '.join(others)[:200]}")
    return Layout(splits, [(s, name) for s in splits for name in root.folders(s)], warnings)


def _by_class(root: Folder, images: str, tops: list[str], spellings: Collection[str]) -> Layout:
    warnings = []
    below = {top: [name for name in root.folders(top) if is_split(name, spellings)] for top in tops}
    holding = [top for top, splits in below.items() if splits]
    too_high = [top for top in holding if any(root.folders(f"{top}/{s}") for s in below[top])]
    if too_high:
        raise DataError(
            f"'{images}' seems to be one level too high: it has '{too_high[0]}' with "
            f"{', '.join(below[too_high[0]])}. Set --images={_joined(images, too_high[0])}"
        )
    chain = _chain(root, tops[0]) if len(tops) == 1 else ""
    inner = root.folders(chain) if chain else []
    splits = [name for name in inner if is_split(name, spellings)]
    if any(root.folders(f"{chain}/{split}") for split in splits):
        raise DataError(
            f"'{images}' seems to be {chain.count('/') + 1} levels too high: it has '{chain}' with "
            f"{', '.join(splits)}. Set --images={_joined(images, chain)}"
        )
    if holding:
        warnings.append(
            f"class folders have subfolders {', '.join(below[holding[0]])}, which are not used "
            "as splits there; for splits, use the layout SPLIT/CLASS/FILE"
        )
    if inner and not splits and not pictures_directly(root, chain):
        warnings.append(
            f"if the classes are {', '.join(inner)[:80]}, set --images={_joined(images, chain)}"
        )
    looked_at = ["", *([chain] if chain else []), *(f"{chain}/{split}" for split in splits)]
    if labels := labels_found(root, images, looked_at):
        warnings.append(labels)
    beside = _splits_beside(images, spellings)
    if beside:
        warnings.append(
            f"{', '.join(beside)} next to '{os.path.basename(os.path.abspath(images))}' were not "
            f"read; --images={os.path.dirname(os.path.abspath(images))} includes all splits"
        )
    return Layout([], [("", top) for top in tops], warnings)


def _without_classes(
    root: Folder, images: str, splits: list[str], spellings: Collection[str]
) -> str:
    """The error for an input without class folders."""
    for split in splits:
        if pictures_directly(root, split):
            return (
                f"'{split}' in '{images}' has pictures, but no class folders; {LAYOUT}. "
                f"{labels_found(root, images, ('', *splits)) or ANY_TABLE}"
            )
    if not pictures_directly(root):
        return f"no class folders in '{images}'; {LAYOUT}"
    higher = _parent_with_classes(images, spellings)
    if higher:
        return (
            f"'{images}' has pictures, but no class folders: it seems to be one level too low. Set "
            f"--images={higher}"
        )
    return (
        f"'{images}' has pictures, but no class folders; {LAYOUT}. "
        f"{labels_found(root, images, ('',)) or ANY_TABLE}"
    )


def _parent_with_classes(images: str, spellings: Collection[str]) -> str:
    """The parent folder if it looks like the class folder's dataset, splits included; else ""."""
    if storage.is_remote(images):
        return ""
    parent = os.path.dirname(os.path.abspath(images))
    if is_split(os.path.basename(parent), spellings):
        return os.path.dirname(parent)
    above = open_folder(parent, "--images")
    siblings = above.folders()[:50]  # enough to recognise them
    classes = [name for name in siblings if pictures_directly(above, name)]
    return parent if len(classes) > 1 and 2 * len(classes) >= len(siblings) else ""


def _splits_beside(images: str, spellings: Collection[str]) -> list[str]:
    """Splits next to a folder that is a split itself."""
    parent, name = os.path.split(os.path.abspath(images))
    if storage.is_remote(images) or not is_split(name, spellings):
        return []
    siblings = open_folder(parent, "--images").folders()
    return [other for other in siblings if is_split(other, spellings) and other != name]


def _chain(root: Folder, top: str) -> str:
    """The end of a chain of folders, each with a single folder and no pictures, from `top` on."""
    below = top
    for _ in range(_MAX_CHAIN):
        inner = root.folders(below)
        if len(inner) != 1 or pictures_directly(root, below):
            return below
        below = f"{below}/{inner[0]}"
    return top


def _may_be_class(root: Folder, below: str) -> bool:
    """Whether a folder is empty or has pictures: folders of annotations have only other files."""
    names = list(itertools.islice(root.walk(below), 500))  # enough to tell
    return not all(map(is_other_file, names)) or not names


def _joined(images: str, name: str) -> str:
    return f"{images.rstrip('/')}/{name}"
