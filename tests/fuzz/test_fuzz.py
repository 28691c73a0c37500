"""A few cases of each target of `python -m tests.fuzz`, always the same ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.cases import check
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_changed_input_is_taken_or_refused_in_a_line(tmp_path, monkeypatch, name):
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "state"))
    target = TARGETS[name](tmp_path)

    @settings(
        max_examples=20,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.cases)
    def every(case: Any) -> None:
        check(target, case)

    every()
