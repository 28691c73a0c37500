"""Tells by its name whether a file is, or clearly is not, a picture."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

# Every suffix of the formats that are decoded (`pictures/limits.py`), as Pillow knows them. If an
# id has files of several suffixes, the first in this order is used.
PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    *(".jfif", ".jpe", ".pgm", ".ppm", ".pnm", ".pbm", ".pfm", ".apng"),
)
# What is found next to pictures: captions, labels, settings, checksums, lists, documents,
# spreadsheets, code, arrays, archives, films, sound, links, project files, and backups of editors:
# `1.jpg~` would be the same picture again. A file with no suffix, or another one, may be a picture
# and is opened.
_OTHER_SUFFIXES = frozenset(
    ".txt .json .jsonl .ndjson .xml .csv .tsv .yaml .yml .toml .ini .cfg .conf .caption .captions "
    ".tags .cls .label .labels .bbox .names .xmp .aae .dop .pp3 .exif .mie "
    ".md5 .sha1 .sha256 .sha512 .sfv .crc .sig .asc .list .lst .log .lock .aria2 "
    ".md .rst .html .htm .css .pdf .doc .docx .odt .rtf .xls .xlsx .ods .ppt .pptx "
    ".py .pyc .ipynb .m .sh .bat .js "
    ".npy .npz .mat .pkl .pickle .pt .pth .h5 .hdf5 .parquet .arrow .feather .tfrecord .index "
    ".sqlite .zip .tar .gz .tgz .bz2 .xz .7z .rar .mp4 .mov .avi .mkv .webm .m4v .mp3 .wav "
    ".url .webloc .lnk .desktop .psd .psb .xcf .kra .ai .afphoto .indd .blend .iml "
    ".code-workspace .dvc "
    ".bak .orig .swp .rej".split()
)


def is_picture_name(name: str) -> bool:
    """Whether the suffix is that of a picture."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def picture_stem(name: str) -> str:
    """A name without a picture's suffix; `v1.5` is returned unchanged."""
    return os.path.splitext(name)[0] if is_picture_name(name) else name


def is_other_file(name: str) -> bool:
    """Whether the suffix shows that this is not a picture."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix in _OTHER_SUFFIXES or (suffix.endswith("~") and suffix[:-1] in PICTURE_SUFFIXES)


def other_files_warning(names: Iterable[str]) -> str:
    """A sentence with the counts of skipped files by suffix; empty if there are none."""
    counts = Counter(os.path.splitext(name)[1].lower() for name in names)
    if not counts:
        return ""
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(5))
    return f"{counts.total()} files next to the pictures are not pictures and were skipped: {kinds}"
