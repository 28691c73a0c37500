"""The CSV file of results: refused before any work where it cannot be written."""

import pytest

from preprocess.shell.errors import UsageError
from trainer.inference.table_file import writing_table


@pytest.mark.parametrize("name", [".", "gone/rows.csv"])
def test_what_cannot_be_written_costs_no_work(tmp_path, name):
    with pytest.raises(UsageError, match=r"^--output="), writing_table(str(tmp_path / name)):
        pytest.fail("the body has begun")


def test_a_body_that_fails_leaves_no_file(tmp_path):
    def fail():
        with writing_table(str(tmp_path / "rows.csv")) as write:
            write(["id"])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
