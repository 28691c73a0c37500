"""No cell of a table that we write begins as a formula."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.shell.csv_cells import safe_cells


@pytest.mark.parametrize(
    "cell",
    [
        "=cmd|' /C calc'!A0",
        "@SUM(1+1)",
        "+1+cmd",
        "-2+3",
        "\t=1",
        "\r=1",
        "  =HYPERLINK(1)",
        "\uff1d1+1",
        "=1",
    ],
)
def test_what_would_be_a_formula_is_marked_as_text(cell):
    assert safe_cells([cell]) == [f"'{cell}"]


@pytest.mark.parametrize("cell", ["a=b", "-0.5", "+1e-3", "-inf", "nan", "", "cat", -1.5, None, 3])
def test_numbers_and_other_text_stay(cell):
    assert safe_cells([cell]) == [cell]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_whatever_the_text_no_cell_of_the_file_begins_as_a_formula(cells):
    file = io.StringIO(newline="")
    csv.writer(file).writerow(safe_cells(cells))
    file.seek(0)
    for row in csv.reader(file):
        for cell in row:
            if re.match(r"[=+\-@\t\r]", cell):
                float(cell)  # raises ValueError for what is no number
