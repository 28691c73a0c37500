"""References to a user's own files in the flags of a run."""

import pytest

from launch.own_files import check_own_files
from launch.spec import Mount
from preprocess.shell.errors import UsageError
from tests.launch.made import ARGUMENTS, spec

VOLUMES = (Mount("runs", "/runs"),)


def checked(*arguments, **changes):
    check_own_files(spec(arguments=(*ARGUMENTS, *arguments), mounts=VOLUMES, **changes))


@pytest.mark.parametrize("metrics", ["", "f1,", "auc,f1,"])
def test_a_file_of_this_machine_is_refused_with_the_ways_out(tmp_path, metrics):
    (tmp_path / "mine.py").touch()
    for file in (f"{tmp_path}/mine.py", "mine.py", "folder/mine.py"):
        with pytest.raises(UsageError) as caught:
            checked(f"--config.metrics={metrics}{file}:cost")
        assert str(caught.value).startswith(f"--config.metrics={file}:cost: pods do not have")
        assert "--config.metrics=/PATH/mine.py:cost" in str(caught.value)
        assert "--config.metrics=mine:cost" in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ("--config.loss.name", "mine/losses.py:confident"),
        ("--config.metrics=['mine.py:cost']",),
        ("--config.metrics=(mine.py:cost, f1)",),
    ],
)
def test_however_it_is_written(words):
    with pytest.raises(UsageError, match=r"^--config\.[a-z.]*=mine[a-z/]*\.py:"):
        checked(*words)


def test_what_volumes_and_images_may_have_is_not():
    checked("--config.loss.name=/runs/mine/losses.py:confident")
    checked("--config.loss.name=/opt/shardline/mine/losses.py:confident")
    checked("--config.loss.name=losses:confident", "--config.metrics=f1,auc")


@pytest.mark.parametrize("backend", ["local", "slurm"])
def test_where_workers_share_the_files_nothing_is(backend):
    checked("--config.loss.name=mine/losses.py:confident", backend=backend, image="")
