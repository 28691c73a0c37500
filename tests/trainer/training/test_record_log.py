"""The log of the records of each step: padding left out, torn and lost ends dropped."""

import os

import numpy as np
import pytest

from preprocess.shell.errors import DataError
from trainer.training.record_log import RecordLog, read_record_log


def test_steps_count_from_one_and_padding_is_left_out(tmp_path):
    path = tmp_path / "records.jsonl"
    log = RecordLog(path, 0)
    log.write(0, np.array([[3, 1, 2], [0, -1, -1]]))
    log.write(2, np.array([[1, 0, 3]]))
    assert read_record_log(path) == [(1, [3, 1, 2]), (2, [0]), (3, [1, 0, 3])]


def test_a_restart_drops_what_came_after_its_state_and_a_torn_line(tmp_path):
    path = tmp_path / "records.jsonl"
    RecordLog(path, 0).write(0, np.arange(4).reshape(4, 1))
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"step": 5, "rec')
    assert len(read_record_log(path)) == 4
    RecordLog(path, 2).write(2, np.array([[7]]))
    assert read_record_log(path) == [(1, [0]), (2, [1]), (3, [7])]


def test_a_run_that_has_no_log_begins_one_where_it_is(tmp_path):
    path = tmp_path / "records.jsonl"
    RecordLog(path, 8).write(8, np.array([[5]]))
    assert read_record_log(path) == [(9, [5])]


@pytest.mark.parametrize("line", ["5", "{}", '{"step": "1", "records": []}',
                                  '{"step": 1, "records": [[1]]}'])  # fmt: skip
def test_a_line_of_something_else_is_bad_data(tmp_path, line):
    (tmp_path / "records.jsonl").write_text(f"{line}\n")
    with pytest.raises(DataError, match=r"records\.jsonl"):
        read_record_log(tmp_path / "records.jsonl")


def test_a_pipe_in_its_place_is_not_waited_for_and_depth_is_as_torn(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        read_record_log(tmp_path / "pipe")
    (tmp_path / "deep").write_text("[" * 100_000)
    assert read_record_log(tmp_path / "deep") == []
