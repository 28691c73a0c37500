"""Google's own FEC file: recognised by its first row, votes counted from the choices."""

from __future__ import annotations

import pytest

from preprocess.sources import google_fec, read_source
from preprocess.sources.refusals import Refused
from preprocess.sources.rows import Request
from tests.preprocess import made


def face(name: str, box: str = "0.1,0.5,0.2,0.6") -> str:
    return f'"http://images.example.org/{name}.jpg",{box}'


def row(*faces: str, choices: str = "113123", type_: str = "ONE_CLASS_TRIPLET") -> str:
    chosen = ",".join(f'"annotator{i}",{choice}' for i, choice in enumerate(choices))
    return f'{",".join(faces)},"{type_}",{chosen}'


def cells(text: str) -> list[str]:
    return [cell.strip('"') for cell in text.split(",")]


def read(tmp_path, *rows: str, crops=()):
    for name in crops:
        made.save(tmp_path / "crops" / f"{name}.jpg")
    (tmp_path / "crops").mkdir(exist_ok=True)
    table = made.write_table(tmp_path / "triplets.csv", rows)
    return read_source("fec", Request(csv=str(table), images=str(tmp_path / "crops")))


def test_its_triplets_are_built_once_the_crops_are_there(tmp_path):
    """Of six annotators three chose picture 1, one picture 2 and two picture 3."""
    text = row(face("a/1"), face("b/1"), face("b/1", "0,1,0,1"))
    ids = [found.id for found in google_fec.faces(cells(text))]
    source = read(tmp_path, text, crops=ids)
    (triplet,) = source.triplets
    assert triplet.ids == tuple(ids) and len(set(ids)) == 3
    assert triplet.votes == pytest.approx((3 / 6, 1 / 6, 2 / 6))
    assert (triplet.type, triplet.line, source.rejections) == ("ONE_CLASS_TRIPLET", 1, [])
    assert "is Google's own FEC file" in source.warnings[-1]
    assert "have no picture" not in source.warnings[-1]


def test_rows_may_have_other_numbers_of_annotators(tmp_path):
    faces = (face("a"), face("b"), face("c"))
    texts = [row(*faces, choices=choices) for choices in ("112", "331111")]
    ids = [found.id for found in google_fec.faces(cells(texts[0]))]
    source = read(tmp_path, *texts, crops=ids)
    assert [t.votes[0] for t in source.triplets] == pytest.approx([2 / 3, 4 / 6])


def test_missing_crops_are_explained_with_the_name_that_is_expected(tmp_path):
    text = row(face("a"), face("b"), face("c"))
    source = read(tmp_path, text)
    first = google_fec.faces(cells(text))[0].id
    assert "3 faces have no picture in --images" in source.warnings[-1]
    assert f"{first}.jpg" in source.warnings[-1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (row(face("a"), face("b"), face("c"), choices="114"), "bad_number"),
        (row(face("a"), face("b"), face("c"))[:-2], "missing_column"),
        (row(face("a"), face("b"), face("c", "0.5,0.1,0,1")), "bad_number"),
        (row(face("a"), face("b"), face("c", "0,1,0,7")), "bad_number"),
        (row(face("a"), face("b"), face("c", "0,1,0,x")), "bad_number"),
        (row(face("a"), face("b"), face("a")), "same_face_twice"),
    ],
)
def test_a_bad_row_is_refused(tmp_path, text, reason):
    good = row(face("a"), face("b"), face("c"))
    source = read(tmp_path, good, text)
    tables = [r for r in source.rejections if r.stage == "table"]
    assert [(r.line, r.reason) for r in tables] == [(2, reason)]


@pytest.mark.parametrize("url", ["http://h/../../etc/passwd", "http://h/", "http://h/%00\x1b.jpg"])
def test_an_id_is_a_plain_file_name_whatever_the_url(url):
    found = google_fec.faces([url, "0", "1", "0", "1"] * 3)[0].id
    assert found.isascii() and found.isprintable() and "/" not in found and ".." not in found


def test_other_tables_are_not_taken_for_it():
    assert google_fec.recognise(cells(made.HEADER)) is None
    assert google_fec.recognise(["http://h/a.jpg"] * 20) is None


def test_a_url_that_is_none_is_refused():
    with pytest.raises(Refused, match="is not a URL"):
        google_fec.cells_by_name(["a.jpg", "0", "1", "0", "1"] * 3 + ["T", "x", "1"])
