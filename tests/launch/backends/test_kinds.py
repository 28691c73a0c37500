"""What each back end says of itself, and that a new one needs no more than that."""

from __future__ import annotations

import pytest

from launch.backends.base import backend_of
from launch.backends.kinds.kind import Asked, Kind
from launch.backends.kinds.registry import KINDS, help_text, running
from launch.spec import VERBS, Spec
from preprocess.shell.errors import UsageError
from tests.launch.made import ARGUMENTS, IMAGE


class Nowhere:
    """A back end of which only that it is started is looked at."""


def test_verbs_run_on_what_can_run_them_the_first_by_default():
    assert running("train") == ["local", "job", "jobset", "slurm"]
    assert running("search") == ["local", "job", "slurm"]
    assert running("preprocess") == ["local", "dataflow", "flink", "job", "slurm"]
    assert running("tensorboard") == ["local", "job"]


@pytest.mark.parametrize("name", KINDS)
def test_every_back_end_can_be_started_and_is_described(name):
    kind = KINDS[name]
    assert set(kind.verbs) <= set(VERBS) and kind.verbs
    assert f"{name}: {kind.description}" in help_text()
    made = kind.start()
    assert all(hasattr(made, method) for method in ("files", "submit", "status", "logs", "why"))


def test_a_new_back_end_is_one_entry_with_its_own_checks(monkeypatch):
    def check(asked: Asked) -> None:
        if asked.workers > 1:
            raise UsageError("--workers: nowhere has room for one")

    kind = Kind("nowhere", "a place of its own", ("train",), f"{__name__}:Nowhere", check)
    monkeypatch.setitem(KINDS, "nowhere", kind)
    made = Spec(verb="train", name="fec", backend="nowhere", arguments=ARGUMENTS)
    assert isinstance(backend_of(made), Nowhere)
    with pytest.raises(UsageError, match="nowhere has room"):
        Spec(verb="train", name="fec", backend="nowhere", arguments=ARGUMENTS, workers=2)
    with pytest.raises(UsageError, match="use local, job, slurm"):
        Spec(verb="search", name="fec", backend="nowhere", arguments=ARGUMENTS)


def test_an_earlier_check_of_one_back_end_does_not_bind_another():
    """--time_limit is Slurm's."""
    made = Spec(
        verb="train", name="fec", backend="job", arguments=ARGUMENTS, image=IMAGE, time_limit=1
    )
    assert made.time_limit == 1
