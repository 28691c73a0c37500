"""What `--augment_workers=N` asks of a run, and the follower that it gives it."""

from __future__ import annotations

import dataclasses

import pytest

from launch.augmenting import with_live_variants
from launch.foreign import confirmed
from launch.runs.records import Record
from launch.spec import Spec
from preprocess.shell.errors import UsageError
from tests.launch.made import ARGUMENTS, spec
from tests.launch.started_runs import Launcher

LOCAL = {"backend": "local", "workers": 1, "image": "", "augment_workers": 3}


def test_a_training_without_it_has_no_follower():
    assert spec().follower == ()


def test_the_follower_is_of_the_dataset_and_the_run():
    assert spec(**LOCAL, augment_recipe="photos").follower == (
        *("python", "-m", "preprocess", "follow", "--run=/runs/fec", "--workers=3"),
        *("--recipe=photos", "/data/fec"),
    )
    more = spec(**LOCAL, augment_ahead=4, augment_keep=8).follower
    assert more[-3:] == ("--ahead=4", "--keep=8", "/data/fec")


def test_the_follower_of_a_smoke_run_follows_that():
    """Of one whose directory ends with a slash, too, as launch/smoke.py names it."""
    arguments = ("--data=/data/fec", "--workdir=/runs/fec/")
    assert "--run=/runs/fec-smoke" in spec(**LOCAL, arguments=arguments, smoke=True).follower
    assert "--run=/runs/fec/" in spec(**LOCAL, arguments=arguments).follower


@pytest.mark.parametrize(
    "given",
    [
        ["--config.data.variants=live"],
        ["--config.data.variants", "live"],
        ["--override=data.variants=live"],
        ["--override", "data.variants=live"],
    ],
)
def test_variants_are_set_to_live_where_the_user_has_not(given):
    assert with_live_variants(ARGUMENTS) == (*ARGUMENTS, "--config.data.variants=live")
    assert with_live_variants([*ARGUMENTS, *given]) == (*ARGUMENTS, *given)


@pytest.mark.parametrize(
    "given",
    [
        ["--config.data.variants=4"],
        ["--config.data.variants", "4"],
        ["--override=data.variants=4"],
        ["--config.data.variants=live", "--config.data.variants=4"],
    ],
)
def test_other_variants_are_refused(given):
    with pytest.raises(UsageError, match=r"data\.variants=4 does not go with --augment_workers"):
        with_live_variants([*ARGUMENTS, *given])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verb": "search"}, "only a training has them, not search"),
        ({"arguments": ARGUMENTS[:2]}, "each once and written so; --workdir=RUN is not"),
        ({"arguments": (*ARGUMENTS, "--data=/other")}, "--data=DATASET is not"),
        ({"arguments": (*ARGUMENTS, "--data", "/other")}, "--data=DATASET is not"),
        ({"arguments": (*ARGUMENTS, "-data=/other")}, "--data=DATASET is not"),
        ({"arguments": (*ARGUMENTS, "--workdir=/other")}, "--workdir=RUN is not"),
        ({"arguments": (*ARGUMENTS[:2], "--workdir", "/r")}, "--workdir=RUN is not"),
        ({"arguments": ("--data=--evil", "--workdir=/r")}, "--data=DATASET is not"),
        ({"augment_workers": -1}, "must be from 0 to 1024"),
        ({"augment_workers": 1025}, "must be from 0 to 1024"),
        ({"augment_workers": 0, "augment_recipe": "photos"}, "only with --augment_workers"),
        ({"augment_workers": 0, "augment_keep": 3}, "only with --augment_workers"),
        ({"augment_ahead": 1001}, "must be from 0 to 1000"),
        ({"augment_recipe": "a\nb"}, "control character"),
    ],
)
def test_what_no_follower_can_be_started_with_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        spec(**{**LOCAL, **changes})


def test_a_record_keeps_it_and_one_of_an_earlier_version_has_none():
    asked = spec(**LOCAL, augment_recipe="photos")
    fields = asked.to_dict()
    assert Spec.from_dict(fields) == asked
    for name in ("workers", "recipe", "ahead", "keep"):
        del fields[f"augment_{name}"]
    assert Spec.from_dict(fields) == dataclasses.replace(
        asked, augment_workers=0, augment_recipe=""
    )


def test_of_a_record_from_elsewhere_the_follower_is_shown_before_it_starts():
    there = Record(
        spec=spec(**LOCAL), handle="local:x", submitted=1.0, argv=(), directory="/", commit="",
        versions={}, found_in="/mnt/run",
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"python -m preprocess follow --run=/runs/fec"):
        confirmed("replay", there, yes=False)


def test_the_command_shows_what_it_would_start_and_refuses_in_a_line(tmp_path):
    launch = Launcher(tmp_path)
    words = ["render", "train", "--augment_workers=2", "--", *ARGUMENTS]
    trainer, follower = launch(*words).splitlines()
    assert trainer.endswith("--config.data.variants=live")
    assert follower == ("python -m preprocess follow --run=/runs/fec --workers=2 /data/fec")
    refused = launch(*words, "--config.data.variants=0", code=64)
    assert "--config.data.variants=0 does not go with --augment_workers" in refused
    assert refused.count("\n") == 1
