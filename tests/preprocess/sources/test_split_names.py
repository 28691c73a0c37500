"""Several held-out sets, under names of the user's own, in every kind of source."""

from __future__ import annotations

from collections import Counter

import pytest

from preprocess.shell.errors import UsageError
from preprocess.sources import read_source
from preprocess.sources.rows import Request
from preprocess.sources.splitting import parse_splits
from tests.preprocess import made

SPLITS = "train,test_a,test_b"


def read(kind, splits=SPLITS, **request):
    paths = {k: str(v) if k in made.PATHS else v for k, v in request.items()}
    return read_source(kind, Request(splits=parse_splits(splits), **paths))


def counts(source):
    return dict(Counter(picture.split for picture in source.pictures))


def test_folders_may_be_splits_of_any_name(tmp_path):
    for number, split in enumerate(("train", "test_a", "Test_B")):
        for name in ("cat", "dog"):
            made.save(tmp_path / split / name / "1.jpg", number)
    source = read("folders", images=tmp_path)
    assert counts(source) == {"train": 2, "test_a": 2, "test_b": 2}
    assert source.classes == ["cat", "dog"]


def test_without_the_flag_such_folders_stay_what_they_were(tmp_path):
    """A class may well be called test_tube."""
    for name in ("test_tube", "flask"):
        made.save(tmp_path / name / "1.jpg")
    assert read("folders", splits="", images=tmp_path).classes == ["flask", "test_tube"]


@pytest.mark.parametrize(("flag", "refused"), [(SPLITS, 1), ("", 3)])
def test_a_table_may_name_splits_of_any_name(tmp_path, flag, refused):
    lines = ["path,label,split"]
    for number, split in enumerate(("train", "test_a", "TEST_B", "test_c")):
        made.save(tmp_path / f"{number}.jpg", number)
        lines.append(f"{number}.jpg,x,{split}")
    source = read("csv", flag, csv=made.write_table(tmp_path / "t.csv", lines), images=tmp_path)
    assert counts(source) == {"train": 1, **({"test_a": 1, "test_b": 1} if flag else {})}
    assert len(source.rejections) == refused
    assert "--splits=train,NAME adds others" in source.rejections[-1].detail


def test_triplets_may_have_several_test_sets(tmp_path):
    flags = made.triplet_set(tmp_path, train=6, test=3)
    text = flags["csv"].read_text().replace(",test\n", ",test_a\n")
    flags["csv"].write_text(text)
    source = read("fec", **flags)
    assert counts(source) == {"train": 6, "test_a": 3}
    assert "--splits names 'test_b', but no picture belongs to it" in source.warnings


def test_a_draw_divides_among_names_of_any_kind(tmp_path):
    for number in range(60):
        made.save(tmp_path / "cat" / f"{number}.jpg", number)
    drawn = counts(read("folders", "train:0.5,test_a:0.25,test_b:0.25", images=tmp_path))
    assert drawn.keys() == {"train", "test_a", "test_b"}
    assert sum(drawn.values()) == 60


def test_files_of_many_pictures_may_name_splits_of_any_name(tmp_path):
    from tests.preprocess.sources.test_parquet import write

    jpeg = made.save(tmp_path / "1.jpg").read_bytes()
    for split in SPLITS.split(","):
        write(tmp_path / "data" / f"{split}-00000-of-00001.parquet", [jpeg], ["x"])
    assert counts(read("parquet", images=tmp_path / "data")) == {
        "train": 1,
        "test_a": 1,
        "test_b": 1,
    }


@pytest.mark.parametrize("name", ["live", "LIVE", "triplets", "Triplets"])
def test_names_of_other_folders_of_a_dataset_are_reserved(name):
    with pytest.raises(UsageError, match="'triplets' and 'live' are reserved"):
        parse_splits(f"train,{name}")
    assert parse_splits(f"train,{name}_2").names == ("train", f"{name}_2")
