"""Class folders: SPLIT/CLASS/FILE, or CLASS/FILE with --splits (or all of it train)."""

from __future__ import annotations

import itertools
import os

from preprocess.dataset_format import CLASSIFICATION
from preprocess.errors import DataError, UsageError
from preprocess.refusals import Reason, Refused, Rejection
from preprocess.sources.folder import PICTURE_SUFFIXES, Folder, open_folder
from preprocess.sources.rows import Picture, Request, Source, check_name
from preprocess.sources.splitting import SPELLINGS


def read(request: Request) -> Source:
    """Reads class folders. Class numbers are alphabetical from 0 over all splits."""
    root = open_folder(request.images, "--images")
    tops = root.folders()
    by_split = [name for name in tops if name.lower() in SPELLINGS]
    if by_split and len(by_split) < len(tops):
        others = [name for name in tops if name not in by_split]
        raise DataError(
            f"'{request.images}' mixes splits ({', '.join(by_split)}) with other folders "
            f"({', '.join(others)[:80]}); the layout is SPLIT/CLASS/FILE or CLASS/FILE"
        )
    if by_split and request.fractions:
        raise UsageError(f"--splits, but the folders divide already: {', '.join(by_split)}")
    source = Source(CLASSIFICATION, pictures=[], stat=root.stat)
    class_folders = [(split, name) for split in (by_split or [""]) for name in root.folders(split)]
    source.classes = _classes(class_folders, source)
    numbers = {name: number for number, name in enumerate(source.classes)}
    # Spread over the folders: the first so many would be of one class.
    most = -(-request.limit // len(class_folders)) if request.limit else 0
    for split, name in class_folders:
        if name in numbers:
            _add_class(source, root, split, name, numbers[name], request, most)
    _warn_of_empty_classes(source)
    for split in by_split:
        if SPELLINGS[split.lower()] not in {picture.split for picture in source.pictures}:
            source.warnings.append(f"no pictures in the folder '{split}'")
    beside = sum(_pictures_in(root, folder) for folder in ("", *by_split))
    if beside:
        source.warnings.append(f"{beside} pictures lie beside the class folders and were left out")
    return source


def _pictures_in(root: Folder, below: str) -> int:
    suffixes = (os.path.splitext(name)[1] for name in root.files(below))
    return sum(suffix.lower() in PICTURE_SUFFIXES for suffix in suffixes)


def _classes(class_folders: list[tuple[str, str]], source: Source) -> list[str]:
    classes = set()
    for split, name in class_folders:
        try:
            classes.add(check_name(name, "class name", Reason.BAD_LABEL))
        except Refused as refused:
            where = ascii(os.path.join(split, name))
            source.rejections.append(
                Rejection(where, None, "picture", refused.reason, refused.detail)
            )
            source.counted += 1
    if not classes:
        raise DataError("no class folders; the layout is SPLIT/CLASS/FILE or CLASS/FILE")
    return sorted(classes)


def _add_class(
    source: Source, root: Folder, split: str, name: str, number: int, request: Request, most: int
) -> None:
    base = f"{split}/{name}" if split else name
    for found in itertools.islice(root.walk(base), most or None):
        relative = f"{base}/{found}"
        source.counted += 1
        try:
            check_name(relative, "file name")
            path = root.inside(relative)
        except Refused as refused:
            source.rejections.append(
                Rejection(ascii(relative)[1:-1], None, "picture", refused.reason, refused.detail)
            )
            continue
        of = request.split(relative, SPELLINGS[split.lower()] if split else "")
        source.pictures.append(Picture(relative, of, number, path, None, None))


def _warn_of_empty_classes(source: Source) -> None:
    for split in sorted({p.split for p in source.pictures}):
        seen = {p.label for p in source.pictures if p.split == split}
        empty = [name for number, name in enumerate(source.classes) if number not in seen]
        if empty:
            source.warnings.append(
                f"no pictures in split '{split}' for {len(empty)} classes: {', '.join(empty)[:200]}"
            )
