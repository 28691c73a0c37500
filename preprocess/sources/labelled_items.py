"""Labelled pictures in containers -> rows: classes, ids, splits, rejections.

Their ids are those of the same pictures in class folders, SPLIT/CLASS/NAME, unless their name
includes folders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from preprocess.dataset_format import CLASSIFICATION
from preprocess.shell.errors import DataError
from preprocess.sources import class_names
from preprocess.sources.places import ItemStat, Place
from preprocess.sources.refusals import Reason, Refused, Rejection
from preprocess.sources.rows import Picture, Request, Source, check_name

Label = int | str | None
NO_LABELS = (None, -1, "")  # -1 is what Hugging Face and TFDS give a test set with secret labels


class Item(NamedTuple):
    """A picture in a container, and what the container says about it."""

    split: str  # the split named by its file; "" = none
    label: Label  # an index of `names`, or a class name
    name: str  # of the picture
    place: Place | Refused  # where it is, or why it cannot be read


def labelled_source(items: Sequence[Item], names: Sequence[str], request: Request) -> Source:
    """The rows of labelled pictures. Raises DataError if there are none.

    Args:
      items: the pictures, in the order of their containers.
      names: class names by number, if the containers have them.
      request: which splits and how many pictures.
    """
    source = Source(CLASSIFICATION, pictures=[], stat=ItemStat())
    items = _without_unlabelled_splits(items, source)
    if not items:
        raise DataError(f"--images='{request.images}' has no labelled pictures")
    numbers = _classes(items, names, source)
    seen: Counter[str] = Counter()
    for item in _chosen(items, request.limit):
        source.counted += 1
        try:
            source.pictures.append(_picture(item, numbers, source.classes, seen, request))
        except Refused as refused:
            source.rejections.append(
                Rejection(ascii(item.name)[1:-1], None, "picture", refused.reason, refused.detail)
            )
    return source


def _without_unlabelled_splits(items: Sequence[Item], source: Source) -> Sequence[Item]:
    labelled = {item.split for item in items if item.label not in NO_LABELS}
    without = sorted({item.split for item in items} - labelled)
    if not without:
        return items
    source.warnings.append(
        f"split {', '.join(map(repr, without))[:200]} has no labels and was skipped"
    )
    return [item for item in items if item.split in labelled]


def _classes(items: Sequence[Item], names: Sequence[str], source: Source) -> dict[Label, int]:
    """Sets the source's classes; returns the number of each label."""
    if len(set(names)) < len(names):
        raise DataError(f"the class names have duplicates: {', '.join(names)[:200]}")
    if names:
        for name in names:
            try:
                check_name(name, "class name", Reason.BAD_LABEL)
            except Refused as refused:
                raise DataError(f"class names: {refused.detail}") from None
        source.classes = list(names)
        by_label: dict[Label, int] = {name: number for number, name in enumerate(names)}
        return {**by_label, **{number: number for number in range(len(names))}}
    labels = {item.label for item in items if item.label not in NO_LABELS}
    source.classes = class_names.ordered({str(label) for label in labels})
    source.warnings.extend(class_names.caveats(source.classes))
    by_name = {name: number for number, name in enumerate(source.classes)}
    return {label: by_name[str(label)] for label in labels}


def _chosen(items: Sequence[Item], limit: int) -> Sequence[Item]:
    """About that many items, spread over all: the first ones would be of one class."""
    return items[:: max(1, len(items) // limit)][:limit] if limit else items


def _picture(
    item: Item,
    numbers: dict[Label, int],
    classes: Sequence[str],
    seen: Counter[str],
    request: Request,
) -> Picture:
    if isinstance(item.place, Refused):
        raise item.place
    if item.label in NO_LABELS:
        raise Refused(Reason.BAD_LABEL, "no label")
    if item.label not in numbers:
        raise Refused(Reason.BAD_LABEL, f"label {item.label!a} of only {len(classes)} classes")
    number = numbers[item.label]
    name = item.name.lstrip("/")
    if "/" not in name:
        name = "/".join(filter(None, (item.split, classes[number], name)))
    seen[name] += 1
    if seen[name] > 1:  # same name as an earlier picture, for example without its folders
        name = f"{name}~{seen[name]}"
    image_id = check_name(name, "name")
    split = request.splits.spellings.get(item.split.lower(), item.split)
    return Picture(image_id, request.split(image_id, split), number, item.place.text, None, None)
