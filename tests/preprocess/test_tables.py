"""A table is read line by line, and a broken line costs one row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.errors import DataError, UsageError
from preprocess.sources.tables import MAX_LINE_BYTES, Table


def read(path, content: bytes | str, columns=()):
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    table = Table(str(path), ("path", "label"), ("split",), columns)
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
    meant = sum(bool(line.strip()) for line in body.split(b"\n"))
    assert len(rows) + len(refused) == table.counted == meant


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"path,name\n", "has no column 'label'; it has path, name. .*--columns=label=YOURS"),
        (b"path,label,path\n", "has the column 'path' 2 times"),
        (b"\xff\xfep\0a\0", "is UTF-16; save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "no CSV header"),
        (b'"path,label\n', "no CSV header"),
    ],
)
def test_what_is_no_table_is_refused_as_a_whole(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path / "t.csv", content)


def test_a_table_that_is_not_there_or_a_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no such table: '.*/gone.csv'"):
        list(Table(str(tmp_path / "gone.csv"), ("path",)).rows())
    with pytest.raises(DataError, match="is a folder"):
        list(Table(str(tmp_path), ("path",)).rows())


def test_columns_of_other_names_are_taken_as_told(tmp_path):
    columns = (("path", "File"), ("label", "klass"))
    rows, _, _ = read(tmp_path / "t.csv", "file,KLASS\na.jpg,cat\n", columns)
    assert rows[0][1] == {"path": "a.jpg", "label": "cat"}


def test_a_name_for_a_column_that_the_source_has_not_lists_those_it_has(tmp_path):
    with pytest.raises(UsageError, match="names 'face1'; this source has path, label, split"):
        read(tmp_path / "t.csv", "path,label\n", (("face1", "x"),))


def test_an_optional_column_that_was_named_must_be_there(tmp_path):
    with pytest.raises(DataError, match="has no column 'fold'"):
        read(tmp_path / "t.csv", "path,label\n", (("split", "fold"),))


def test_the_hash_is_that_of_the_whole_file(tmp_path):
    import hashlib

    content = b"path,label\n" + b"x" * 3 * MAX_LINE_BYTES + b"\na,b\n"
    _, _, table = read(tmp_path / "t.csv", content)
    assert table.sha256 == hashlib.sha256(content).hexdigest()
