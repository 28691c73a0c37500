"""What a run that waits for a variant logs, and when it stops waiting."""

import contextlib
from types import SimpleNamespace

import pytest

from preprocess.shell.errors import DataError
from trainer.data.live import LiveVariants
from trainer.training import variant_wait
from trainer.training.variant_wait import AGAIN_SECONDS, LOOK_SECONDS, VariantWait

A_PASS = 3


class Late:
    """Live variants of which variant 1 comes when `events` are used up, one a look."""

    reuses = False
    how_to_follow = "start one"
    check_dataset = LiveVariants.check_dataset

    def __init__(self, dataset, events, clock):
        self._dataset, self._missed = str(dataset), False
        self.events, self.clock, self.said = list(events), clock, []
        self.at_work = ""

    def there(self, number):
        return number == 0 or not self.events

    def wait(self, number):
        del number
        self.clock[0] += self.events.pop(0)(self)

    def follower_at_work(self):
        return self.at_work

    def say(self, message):
        self.said.append(message)


def waited(live):
    run = SimpleNamespace(
        reader=SimpleNamespace(steps_per_pass=A_PASS, live=live),
        workers=SimpleNamespace(any_worker=bool),
        signals=SimpleNamespace(received=None),
        monitors=SimpleNamespace(
            timeline=SimpleNamespace(during=lambda activity: contextlib.nullcontext()),
            watchdog=SimpleNamespace(alive=lambda what, long: None),
        ),
    )
    notes = []
    assert VariantWait(run, 1).before(A_PASS, 1, lambda: notes.append(1), pytest.fail)
    return notes


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(variant_wait.time, "monotonic", lambda: now[0])
    return now


def test_a_wait_is_logged_again_when_the_follower_comes_or_goes_and_every_few_minutes(
    tmp_path, clock
):
    (tmp_path / "dataset.json").write_text("{}")

    def nothing(live):
        return LOOK_SECONDS

    def comes(live):
        live.at_work = "at work"
        return LOOK_SECONDS

    def goes(live):
        live.at_work = ""
        return LOOK_SECONDS

    def long(live):
        return AGAIN_SECONDS

    live = Late(tmp_path, [nothing, comes, nothing, long, nothing, goes, nothing, nothing], clock)
    assert waited(live) == [1]
    none, some = (f"waiting for variant 1; {x}" for x in ("no follower: start one", "at work"))
    assert live.said[:-1] == [none, some, some, none]
    assert live.said[-1].startswith("variant 1 came after ")


def test_a_dataset_that_is_gone_is_not_waited_for(tmp_path, clock):
    """Once it may be the mount; twice in a row it is the dataset."""
    manifest = tmp_path / "dataset.json"
    manifest.write_text("{}")

    def gone(live):
        manifest.unlink(missing_ok=True)
        return LOOK_SECONDS

    def back(live):
        manifest.write_text("{}")
        return LOOK_SECONDS

    live = Late(tmp_path, [gone, back, gone, back], clock)
    waited(live)
    live = Late(tmp_path, [gone, gone, gone], clock)
    with pytest.raises(DataError, match=r"dataset.json' is gone, so no variant will come"):
        waited(live)
    assert len(live.events) == 1
