"""A table is read as spreadsheets write it, and a broken line costs one row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.shell.errors import DataError, UsageError
from preprocess.sources.tables import MAX_LINE_BYTES, Table


def read(path, content: bytes | str, columns=(), encoding=""):
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    table = Table(str(path), ("path", "label"), ("split",), columns, encoding)
    rows = [(row.line, row.cells) for row in table.rows()]
    return rows, [(r.line, r.reason) for r in table.rejections], table


@pytest.mark.parametrize(
    "content",
    [
        "path,label\na.jpg,cat\n",
        "\ufeffpath,label\r\na.jpg,cat\r\n",  # as Excel writes it
        "path;label\na.jpg;cat\n",
        "path\tlabel\na.jpg\tcat\n",
        "Label , PATH\n cat ,a.jpg",  # another order, spaces, no line feed at the end
        'path,label\n"a.jpg","cat"\n',
        "\n".join(("path,label,more", "a.jpg,cat,x")),
        "path,label\n\na.jpg,cat\n\n",
        "path,label\n,\na.jpg,cat\n , \t\n",  # rows of delimiters
        "\r\n,,\r\npath,label\r\na.jpg,cat",  # and above the header
        "path|label\na.jpg|cat\n",
        "path,label\ra.jpg,cat\r",  # Excel for Mac
        "sep=;\r\npath;label\r\na.jpg;cat\r\n",
        "\ufeffSEP=\t\npath\tlabel\na.jpg\tcat\n",
        '"sep=|"\npath|label\na.jpg|cat\n',
        'path, label\n"a.jpg", "cat"\n',
        'path,label,"a\nnote"\na.jpg,cat,"one\r\ntwo, three"\r\n',
        'path,label,note\ra.jpg,cat,"one\ntwo"\r',  # Excel for Mac breaks lines in cells by LF
        "path,label\na.jpg,cat\n".encode("utf-16"),
        b"\xfe\xff" + "path,label\r\na.jpg,cat\r\n".encode("utf-16-be"),
    ],
)
def test_the_ways_to_write_the_same_table(tmp_path, content):
    rows, refused, _ = read(tmp_path / "t.csv", content)
    assert [cells for _, cells in rows] == [{"path": "a.jpg", "label": "cat"}]
    assert refused == []


def test_quoted_commas_cyrillic_and_spaces_belong_to_the_cell(tmp_path):
    rows, refused, _ = read(tmp_path / "t.csv", 'path,label\n"a, b.jpg","он сказал ""да"""\n')
    assert rows == [(2, {"path": "a, b.jpg", "label": 'он сказал "да"'})]
    assert refused == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'"b.jpg,cat', "unreadable_row"),  # an unclosed quote
        (b"b.jpg", "missing_column"),
        (b"b.jpg,cat,more", "extra_column"),
        (b"\xff\xfe,cat", "unreadable_row"),
        (b"b" * MAX_LINE_BYTES + b",cat", "unreadable_row"),
        (b"b" * 5 * MAX_LINE_BYTES, "unreadable_row"),
    ],
)
def test_a_broken_row_is_refused_and_its_neighbours_are_read(tmp_path, row, reason):
    content = b"path,label\na.jpg,cat\n" + row + b"\nc.jpg,dog\n"
    rows, refused, table = read(tmp_path / "t.csv", content)
    assert [line for line, _ in rows] == [2, 4]
    assert refused == [(3, reason)]
    assert table.counted == 3


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_whatever_the_bytes_every_line_is_read_or_refused(tmp_path_factory, lines):
    body = b"\n".join(lines)
    path = tmp_path_factory.getbasetemp() / "any.csv"
    rows, refused, table = read(path, b"path,label\n" + body)
    lines = [number for number, _ in (*rows, *refused)]
    assert len(lines) == len(set(lines)) == table.counted
    assert all(2 <= number <= 2 + body.count(b"\n") + body.count(b"\r") for number in lines)
    if b'"' not in body and b"\r" not in body:  # else several lines may be one record
        meant = [n for n, line in enumerate(body.split(b"\n"), 2) if line.strip(b", \t")]
        assert sorted(lines) == meant


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"path,name\n", "has no column 'label'; it has path, name. .*--columns=label=YOURS"),
        (b"path,label,path\n", "has the column 'path' 2 times"),
        ("path,label\na,b\n".encode("utf-16-le"), "UTF-16 .*--csv_encoding=utf-16-le"),
        ("path,label\na,b\n".encode("utf-16-be"), "UTF-16 .*--csv_encoding=utf-16-be"),
        ("path,label,pr\xe9nom\n".encode("cp1252"), "not UTF-8 at byte .*--csv_encoding=cp1252"),
        ("sep=;\n", "is empty"),
        (b"\x1f\x8b\x08", "is gzip; unpack it"),
        (b"PK\x03\x04rest", "save it as CSV"),
        (b"PAR1\x15rest", "is a parquet file"),
        (b"<!DOCTYPE html>", "is HTML"),
        ("a.jpg,cat\nb.jpg,dog\n", "no header: .*first line looks like a row.*path=1,label=2"),
        ("7,3\n", "has no header"),
        (b"\x89PNG\r\n\x1a\n", "not a CSV header"),
        (b'"path,label\n', "not a CSV header"),
    ],
)
def test_what_is_no_table_is_refused_as_a_whole(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path / "t.csv", content)


def test_a_table_that_is_not_there_or_a_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"table '.*/gone.csv' does not exist"):
        list(Table(str(tmp_path / "gone.csv"), ("path",)).rows())
    with pytest.raises(DataError, match="is a folder"):
        list(Table(str(tmp_path), ("path",)).rows())


def test_columns_of_other_names_are_taken_as_told(tmp_path):
    columns = (("path", "File"), ("label", "klass"))
    rows, _, _ = read(tmp_path / "t.csv", "file,KLASS\na.jpg,cat\n", columns)
    assert rows[0][1] == {"path": "a.jpg", "label": "cat"}


def test_a_name_for_a_column_that_the_source_has_not_lists_those_it_has(tmp_path):
    with pytest.raises(
        UsageError, match="unknown name 'face1'; this source has path, label, split"
    ):
        read(tmp_path / "t.csv", "path,label\n", (("face1", "x"),))


def test_an_optional_column_that_was_named_must_be_there(tmp_path):
    with pytest.raises(DataError, match="has no column 'fold'"):
        read(tmp_path / "t.csv", "path,label\n", (("split", "fold"),))


def test_the_hash_is_that_of_the_whole_file(tmp_path):
    import hashlib

    content = b"path,label\n" + b"x" * 3 * MAX_LINE_BYTES + b"\na,b\n"
    _, _, table = read(tmp_path / "t.csv", content)
    assert table.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("path,label\nб.jpg,кот\n", "cp1251"), ("path,label\né.jpg,“ü”\n", "Windows-1252")],
)
def test_an_encoding_that_is_named_is_used(tmp_path, text, encoding):
    rows, refused, table = read(tmp_path / "t.csv", text.encode(encoding), encoding=encoding)
    assert list(rows[0][1].values()) == text.splitlines()[1].split(",")
    assert refused == table.warnings == []


def test_utf_16_is_read_and_mentioned(tmp_path):
    _, _, table = read(tmp_path / "t.csv", "path,label\na,b\n".encode("utf-16"))
    assert table.warnings == ["'t.csv' is UTF-16 and read as such"]


def test_what_the_named_encoding_has_not_refuses_its_row(tmp_path):
    content = b"path,label\na.jpg,\x81\nb.jpg,cat\n"
    rows, refused, table = read(tmp_path / "t.csv", content, encoding="cp1252")
    assert [line for line, _ in rows] == [3] and refused == [(2, "unreadable_row")]
    assert table.rejections[0].detail == "not cp1252"


@pytest.mark.parametrize("encoding", ["klingon", "hex", "zip"])
def test_an_encoding_that_is_none_of_text_is_named(tmp_path, encoding):
    with pytest.raises(UsageError, match=f"--csv_encoding='{encoding}' is not a text encoding"):
        read(tmp_path / "t.csv", "path,label\n", encoding=encoding)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    content = 'sep=,\npath,label,note\n\na,b,"1\n2\n3"\nc,d,x\n'
    rows, _, _ = read(tmp_path / "t.csv", content)
    assert [line for line, _ in rows] == [4, 7]


def test_text_inside_quotes_is_never_a_row(tmp_path):
    """The second line would be a row by itself; so would each of the third record's."""
    content = 'path,label,note\na.jpg,cat,"see\nx.jpg,dog,z\n"\nb.jpg,dog,"y.jpg,cat,""z""\n""."\n'
    rows, refused, _ = read(tmp_path / "t.csv", content)
    assert [cells["path"] for _, cells in rows] == ["a.jpg", "b.jpg"] and refused == []


def test_a_broken_record_of_several_lines_is_refused_as_one(tmp_path):
    content = 'path,label,note\na.jpg,"some\nwords, and\nmore"\nb.jpg,dog,\n'
    rows, refused, _ = read(tmp_path / "t.csv", content)
    assert [line for line, _ in rows] == [5]
    assert refused == [(2, "missing_column")]


@pytest.mark.parametrize("closer", ['c.jpg,12" wheel', 'c.jpg,"dog"', '"c.jpg,dog', "c.jpg,dog"])
def test_an_unclosed_quote_costs_its_own_line_whatever_follows(tmp_path, closer):
    content = f'path,label\n"a.jpg,cat\nb.jpg,cat\n{closer}\n'
    rows, refused, _ = read(tmp_path / "t.csv", content)
    assert (2, "unreadable_row") in refused
    assert (3, {"path": "b.jpg", "label": "cat"}) in rows
    assert len(rows) + len(refused) == 3


def test_an_unclosed_quote_over_many_lines_is_looked_at_once(tmp_path):
    """Each of the quotes is followed by more lines than are ever looked through."""
    lines = ['"a.jpg,cat', *["b.jpg,dog"] * 150_000]
    rows, refused, _ = read(tmp_path / "t.csv", "\n".join(["path,label", *lines, *lines]))
    assert len(rows) == 300_000 and [line for line, _ in refused] == [2, 150_003]


def test_a_long_quoted_text_with_breaks_costs_its_row_alone(tmp_path):
    """Its lines look like rows, but stand inside quotes."""
    text = "x.jpg,dog,\n" * (2 * MAX_LINE_BYTES // 11)
    content = f'path,label,note\na.jpg,cat,"{text}"\nb.jpg,dog,\n'
    rows, refused, _ = read(tmp_path / "t.csv", content)
    assert [cells["path"] for _, cells in rows] == ["b.jpg"]
    assert refused == [(2, "unreadable_row")]


def test_columns_by_position_where_there_is_no_header(tmp_path):
    columns = (("label", "3"), ("path", "1"))
    rows, refused, table = read(tmp_path / "t.csv", "a.jpg,x,cat\nb.jpg,y,dog\n", columns)
    assert rows == [
        (1, {"label": "cat", "path": "a.jpg"}),
        (2, {"label": "dog", "path": "b.jpg"}),
    ]
    assert refused == [] and table.counted == 2


def test_a_number_that_the_header_has_is_a_name(tmp_path):
    columns = (("path", "0"), ("label", "1"))
    rows, _, _ = read(tmp_path / "t.csv", "1,0\ncat,a.jpg\n", columns)
    assert rows == [(2, {"path": "a.jpg", "label": "cat"})]


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ((("path", "1"),), UsageError, "positions, .*; label must have one too"),
        ((("path", "1"), ("label", "3")), DataError, "label=3: the first row .* has 2 columns"),
        ((("path", "0"), ("label", "1")), DataError, "path=0: .*counted from 1"),
    ],
)
def test_positions_that_are_not_there_are_named(tmp_path, columns, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path / "t.csv", "a.jpg,cat\n", columns)


def test_rows_of_another_encoding_are_counted_in_one_warning(tmp_path):
    table = Table(str(tmp_path / "t.csv"), ("path", "label"))
    (tmp_path / "t.csv").write_bytes("path,label\na,Käfer\nb,Hund\nc,Käfer\n".encode("cp1252"))
    assert [row.cells["path"] for row in table.rows()] == ["b"]
    (warning,) = table.warnings
    assert warning.startswith("2 rows of 't.csv' are not UTF-8") and "--csv_encoding" in warning
