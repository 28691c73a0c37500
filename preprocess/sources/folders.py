"""Class folders: SPLIT/CLASS/FILE, or CLASS/FILE with --splits (default: all train)."""

from __future__ import annotations

import itertools
import os
from typing import NamedTuple

from preprocess.dataset_format import CLASSIFICATION
from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import class_names
from preprocess.sources.class_layout import LAYOUT, find_layout, pictures_directly
from preprocess.sources.folder import Folder, open_folder
from preprocess.sources.picture_files import is_other_file, is_picture_name, other_files_warning
from preprocess.sources.refusals import Reason, Refused, Rejection
from preprocess.sources.rows import Picture, Request, Source, check_name
from preprocess.sources.source_kind import Evidence, SourceKind


class _ClassFolder(NamedTuple):
    split: str  # name of its split's folder; "" if there is none
    name: str
    files: list[str]  # names of possible pictures, relative to the folder
    others: list[str]  # and of files that are clearly none

    @property
    def path(self) -> str:
        """Relative to --images."""
        return f"{self.split}/{self.name}" if self.split else self.name


def read(request: Request) -> Source:
    """Reads class folders. Class numbers are alphabetical from 0 over all splits, or by value if
    all names are integers.
    """
    root = open_folder(request.images, "--images", request.follow_links)
    layout = find_layout(root, request.images, request.splits.spellings)
    if layout.splits and request.splits.fractions:
        raise UsageError(f"--splits: the folders are already splits: {', '.join(layout.splits)}")
    source = Source(CLASSIFICATION, pictures=[], stat=root.stat, warnings=layout.warnings)
    # Spread over the folders: the first ones would all be of one class.
    most = -(-request.limit // len(layout.folders)) if request.limit else 0
    folders = [_listed(root, split, name, most) for split, name in layout.folders]
    folders = _without_leftover_classes(folders, source)
    numbers = _classes(folders, source, request)
    for folder in folders:
        if folder.name in numbers:
            _add_class(source, root, folder, numbers[folder.name], request)
    _warn_of_empty_classes(source)
    used = {picture.split for picture in source.pictures}
    for split in layout.splits:
        if request.splits.spellings[split.lower()] not in used:
            source.warnings.append(f"folder '{split}' has no pictures")
    _warn_of_what_was_left_out(source, root, folders, layout.splits)
    return source


def _listed(root: Folder, split: str, name: str, most: int) -> _ClassFolder:
    """The files of a class folder, at most `most` of them possible pictures (0 = all)."""
    folder = _ClassFolder(split, name, files=[], others=[])

    def may_be_picture(file: str) -> bool:
        if is_other_file(file):
            folder.others.append(file)
            return False
        return True

    files = filter(may_be_picture, root.walk(folder.path))
    folder.files.extend(itertools.islice(files, most or None))
    return folder


def _without_leftover_classes(folders: list[_ClassFolder], source: Source) -> list[_ClassFolder]:
    """Removes folders that contain only annotations and the like, in all splits."""
    holding = {folder.name for folder in folders if folder.files}
    no_classes = {f.name for f in folders if f.others} - holding
    if no_classes and holding:
        source.warnings.append(
            f"folders without pictures are not classes: {', '.join(sorted(no_classes))[:200]}"
        )
        return [folder for folder in folders if folder.name not in no_classes]
    return folders


def _classes(folders: list[_ClassFolder], source: Source, request: Request) -> dict[str, int]:
    """Sets the source's classes; returns the class number of each folder's name."""
    by_split: dict[str, set[str]] = {}
    for folder in folders:
        try:
            name = check_name(folder.name, "class name", Reason.BAD_LABEL)
            split = request.splits.spellings[folder.split.lower()] if folder.split else ""
            by_split.setdefault(split, set()).add(name)
        except Refused as refused:
            where = ascii(os.path.join(folder.split, folder.name))
            source.rejections.append(
                Rejection(where, None, "picture", refused.reason, refused.detail)
            )
            source.counted += 1
    if not by_split:
        raise DataError(f"no class folders; {LAYOUT}")
    source.classes, numbers, warnings = class_names.numbered(by_split)
    source.warnings += warnings
    return numbers


def _add_class(
    source: Source, root: Folder, folder: _ClassFolder, number: int, request: Request
) -> None:
    for file in folder.files:
        relative = f"{folder.path}/{file}"
        source.counted += 1
        try:
            check_name(relative, "file name")
            path = root.inside(relative)
        except Refused as refused:
            source.rejections.append(
                Rejection(ascii(relative)[1:-1], None, "picture", refused.reason, refused.detail)
            )
            continue
        split = request.splits.spellings[folder.split.lower()] if folder.split else ""
        picture = Picture(relative, request.split(relative, split), number, path, None, None)
        source.pictures.append(picture)


def _warn_of_empty_classes(source: Source) -> None:
    for split in sorted({p.split for p in source.pictures}):
        seen = {p.label for p in source.pictures if p.split == split}
        empty = [name for number, name in enumerate(source.classes) if number not in seen]
        if empty:
            source.warnings.append(
                f"split '{split}' has no pictures of {len(empty)} classes: {', '.join(empty)[:200]}"
            )


def _warn_of_what_was_left_out(
    source: Source, root: Folder, folders: list[_ClassFolder], splits: list[str]
) -> None:
    beside = sum(pictures_directly(root, folder) for folder in ("", *splits))
    if beside:
        source.warnings.append(f"{beside} pictures outside of class folders were skipped")
    others = other_files_warning(name for folder in folders for name in folder.others)
    if others:
        source.warnings.append(others)
    if root.links_passed_over:
        source.warnings.append(
            f"{len(root.links_passed_over)} links to folders inside the class folders were not "
            f"followed, the first '{root.links_passed_over[0]}'; set --follow_links to follow them"
        )


def _recognise(evidence: Evidence) -> str:
    if evidence.request.csv:
        return ""
    if evidence.folders:
        return "folders, and no --csv"
    return "pictures, and no --csv" if any(map(is_picture_name, evidence.files)) else ""


KIND = SourceKind(
    name="folders",
    layout="pictures at SPLIT/CLASS/FILE, or at CLASS/FILE with --splits (--images)",
    read=read,
    recognise=_recognise,
    fallback=True,
    owns_images=True,
)
