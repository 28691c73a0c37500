"""Which files are pictures and which are clearly not, by their names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

# Every suffix that Pillow knows for the formats that are decoded (`pictures/limits.py`). Where an
# id without suffix has files of several suffixes, the first of this order is taken.
PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    *(".jfif", ".jpe", ".pgm", ".ppm", ".pnm", ".pbm", ".pfm", ".apng"),
)
# What lies beside pictures: captions, labels, settings, checksums, lists, documents, spreadsheets,
# code, arrays, archives, films, sound, links, project files, and what editors keep of before:
# `1.jpg~` would be the picture a second time. A file without suffix, or with another one, may be a
# picture and is looked at.
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
    """Whether the suffix is a picture's."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def picture_stem(name: str) -> str:
    """A name without the suffix of a picture; `v1.5` as it is."""
    return os.path.splitext(name)[0] if is_picture_name(name) else name


def is_other_file(name: str) -> bool:
    """Whether the suffix says that this is no picture."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix in _OTHER_SUFFIXES or (suffix.endswith("~") and suffix[:-1] in PICTURE_SUFFIXES)


def other_files_warning(names: Iterable[str]) -> str:
    """A sentence that counts left-out files by suffix; empty where there are none."""
    counts = Counter(os.path.splitext(name)[1].lower() for name in names)
    if not counts:
        return ""
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(5))
    return f"{counts.total()} files beside the pictures are not pictures and were left out: {kinds}"
