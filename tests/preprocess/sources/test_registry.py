"""The table of sources: its names, the user's own, and which one an input looks like."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import SOURCES, find_source, recognise, registry
from preprocess.sources.rows import Request
from preprocess.sources.source_kind import SourceKind
from tests.preprocess import made

MINE = SourceKind("mine", "a list of mine", SOURCES["csv"].read, lambda _: "a table of mine")


def recognised(**request):
    kind, reason = recognise(
        Request(**{k: str(v) if k in made.PATHS else v for k, v in request.items()})
    )
    return kind.name, reason


def table(tmp_path, header):
    return made.write_table(tmp_path / "t.csv", [header, ",".join("x" for _ in header.split(","))])


@pytest.mark.parametrize(
    ("header", "columns", "expected"),
    [
        ("face1,face2,face3,votes1,votes2,votes3", (), "fec"),
        ("votes3,votes2,votes1,FACE3,face2,face1,subset", (), "fec"),
        ("path,label", (), "csv"),
        ("image_id,label", (("path", "image_id"),), "csv"),
    ],
)
def test_a_table_is_recognised_by_its_columns(tmp_path, header, columns, expected):
    assert recognised(csv=table(tmp_path, header), columns=columns)[0] == expected


def test_a_table_without_a_header_is_recognised_by_the_columns_that_have_positions(tmp_path):
    table = made.write_table(tmp_path / "t.csv", ["a.jpg,cat", "b.jpg,dog"])
    columns = (("path", "1"), ("label", "2"))
    assert recognise(Request(csv=str(table), columns=columns))[0].name == "csv"
    with pytest.raises(UsageError, match="has no header, and needs --source and --columns"):
        recognise(Request(csv=str(table)))


def test_googles_own_table_is_recognised_by_its_first_row(tmp_path):
    face = "http://h/a.jpg,0,1,0,1"
    table = made.write_table(tmp_path / "t.csv", [f"{face},{face},{face},ONE,x,1"])
    kind, reason = recognise(Request(csv=str(table)))
    assert (kind.name, reason) == ("fec", "Google's own FEC table")


def test_folders_without_a_table_are_class_folders(tmp_path):
    assert recognised(images=made.class_folders(tmp_path, count=1)) == (
        "folders",
        "folders, and no --csv",
    )


def test_idx_files_are_recognised_by_their_names(tmp_path):
    made.write_idx(tmp_path / "t10k-images.idx3-ubyte", np.zeros((1, 2, 2)))
    assert recognised(images=tmp_path) == ("idx", "the idx file t10k-images.idx3-ubyte")


def test_an_input_that_fits_two_sources_needs_a_choice(tmp_path):
    csv = table(tmp_path, "path,label,face1,face2,face3,votes1,votes2,votes3")
    with pytest.raises(UsageError, match=r"choose --source=csv \(.*\) or --source=fec \("):
        recognised(csv=csv)


def test_an_input_that_fits_no_source_is_described_beside_what_there_is(tmp_path):
    with pytest.raises(UsageError, match=r"has the columns name;") as caught:
        recognised(csv=table(tmp_path, "name"))
    assert all(f"--source={name}" in str(caught.value) for name in SOURCES)
    with pytest.raises(UsageError, match="neither --csv nor --images"):
        recognised()


def test_a_table_with_names_of_its_own_needs_columns_and_perhaps_an_encoding(tmp_path):
    """What a second command has to have is said at once."""
    rows = "Datei;Klasse\r\np0.jpg;Äpfel\r\np1.jpg;Birnen\r\n"
    for encoding, ending in (("utf-8", "klasse"), ("utf-8-sig", "klasse"), ("utf-16", "klasse")):
        (tmp_path / "t.csv").write_bytes(rows.encode(encoding))
        with pytest.raises(UsageError, match=rf"as --columns=path=datei,label={ending}$"):
            recognised(csv=tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(rows.encode("cp1252"))
    with pytest.raises(UsageError, match=r"label=klasse --csv_encoding=cp1252 \(its text is not"):
        recognised(csv=tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (
            ["Datei;Art;Notiz", "a.jpg;Fuchs;x", "b.jpg;Dachs;", "c.jpg;Fuchs;y", "d.jpg;Dachs;"],
            "path=datei,label=art",
        ),
        (
            ["n;weight;race;seen", "1;0,5;cat;1", "2;1,5;dog;2", "3;0,5;cat;3", "4;1,5;dog;4"],
            "path=n,label=race",
        ),
        (["class_name,file", "cat,1.jpg", "dog,2.jpg"], "path=file,label=class_name"),
        ([",image_id,label", "0,a,cat", "1,b,dog"], "path=image_id,label=label"),
    ],
    ids=["a remark last", "a repeated number", "name is no picture", "an index without a name"],
)
def test_the_columns_to_give_are_guessed_from_what_they_hold(tmp_path, rows, columns):
    csv = made.write_table(tmp_path / "t.csv", rows)
    with pytest.raises(UsageError, match=rf"as --columns={columns}$"):
        recognised(csv=csv)


def test_a_column_for_each_class_is_not_taken_for_the_label(tmp_path):
    rows = ["image_id,healthy,rust,scab", "a,0,1,0", "b,1,0,0", "c,0,0,1"]
    csv = made.write_table(tmp_path / "t.csv", rows)
    with pytest.raises(UsageError, match=r"0 and 1 for each class \(healthy, rust, scab\): add a"):
        recognised(csv=csv)


def test_a_spreadsheet_is_called_one(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(DataError, match=r"is a spreadsheet, not a CSV table; save it as CSV"):
        recognised(csv=tmp_path / "t.xlsx")


def test_a_table_that_is_not_there_is_an_error_of_its_own(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        recognised(csv=tmp_path / "gone.csv")


def test_an_unknown_name_gets_the_near_one_and_the_list():
    with pytest.raises(UsageError, match=r"did you mean 'folders'\?\); sources are arrays, "):
        find_source("folder")


def test_a_source_of_the_users_own_is_named_by_module():
    assert find_source(f"{__name__}:MINE") is MINE


@pytest.mark.parametrize(
    "name", ["nowhere.at.all:KIND", f"{__name__}:GONE", f"{__name__}:made", ":"]
)
def test_a_module_without_a_source_is_an_error(name):
    with pytest.raises(UsageError, match=f"--source={name}"):
        find_source(name)


def test_one_entry_of_the_table_is_all_that_a_new_source_takes(tmp_path):
    """Recognition and the messages read the table, so an added entry is in both."""
    sources = {**SOURCES, "mine": MINE}
    (tmp_path / "x.lst").touch()
    assert registry.recognise(Request(images=str(tmp_path)), sources) == (MINE, "a table of mine")
    with pytest.raises(UsageError, match=r"sources are .*, mine$"):
        registry.find_source("nothing", sources)


def test_a_table_that_is_no_csv_can_be_another_sources(tmp_path):
    """The sources that look at its columns cannot read it."""
    lines = tmp_path / "pictures.jsonl"
    lines.write_text('{"file": "a.png", "label": "cat"}\n')
    request = Request(csv=str(lines))
    sources = {**SOURCES, "mine": MINE}
    assert registry.recognise(request, sources) == (MINE, "a table of mine")
    with pytest.raises(DataError, match=r"pictures\.jsonl"):
        recognise(request)


@pytest.mark.parametrize(
    ("header", "pairs"),
    [
        ("image_id,label", "path=image_id,label=label"),
        ("Id,Breed", "path=id,label=breed"),
        ("target,fold,file_name", "path=file_name,label=target"),
        ("a,b", "path=a,label=b"),
    ],
)
def test_a_table_with_other_columns_gets_them_named(tmp_path, header, pairs):
    table = tmp_path / "train.csv"
    table.write_text(f"{header}\n")
    with pytest.raises(UsageError, match=f"--columns={pairs}"):
        recognise(Request(csv=str(table), images=str(tmp_path)))
