"""References in a configuration: what is one, and what can be told without running it."""

import json

import pytest

from preprocess.shell.errors import ConfigError
from preprocess.shell.reference_source import source_record
from tests.trainer import datasets, own_code
from trainer.config import differences, load_config, to_dict
from trainer.config.combinations import metric_names
from trainer.config.keys import Config, ModelConfig
from trainer.config.measure_table import greater_is_better
from trainer.config.own_code import check_files, is_own, sources, with_files
from trainer.config.own_code import own_code as code_of
from trainer.search.space import base_config, parse_space

LOUD = "raise SystemExit('this file was run')\nGREATER = False\n"


def configuration(**changes):
    return datasets.configuration(datasets.CLASSIFICATION, **changes)


def test_names_with_a_colon_are_no_references():
    for key, name in [("model.backbone", "keras:VGG16"), ("loss.name", "huber"), ("metrics", "f1")]:
        assert not is_own(key, name)
    for reference in ("net.py:f", "a/b.py:f", "package.module:f"):
        assert is_own("loss.name", reference)


def test_every_reference_has_its_key():
    config = configuration(loss__name="a.py:f", metrics=("f1", "b.py:g", "tools.figures:h"))
    assert code_of(config) == {
        "loss.name": "a.py:f",
        "metrics.g": "b.py:g",
        "metrics.h": "tools.figures:h",
    }


def test_relative_files_become_absolute_and_must_be_there(tmp_path, monkeypatch):
    """Nothing is run: importing the file would end the process."""
    own_code.write(tmp_path / "mine", loss=LOUD)
    monkeypatch.chdir(tmp_path)
    file = datasets.write_config(tmp_path / "config.py", datasets.CLASSIFICATION)
    config = load_config(file, [("loss.name", "mine/loss.py:f"), ("metrics", "f1,mine/loss.py:g")])
    assert config.loss.name == f"{tmp_path}/mine/loss.py:f"
    assert config.metrics == ("f1", f"{tmp_path}/mine/loss.py:g")
    with pytest.raises(ConfigError, match=r"loss.name=\S+/mine/los.py:f: no such file"):
        load_config(file, [("loss.name", "mine/los.py:f")])
    with pytest.raises(ConfigError, match=r"metrics=\S+/los.py:g: no such file"):
        load_config(file, [("metrics", "los.py:g")])
    assert json.loads(json.dumps(sources(config))) == sources(config)
    check_files(config)
    same = to_dict(load_config(file, [("loss.name", "./mine/../mine/loss.py:f")]))
    assert differences(same, to_dict(config)) == []


def test_a_run_may_continue_where_the_same_file_is_in_another_folder(tmp_path):
    """Whether it is the same is seen from its source; another NAME or file is another loss."""

    def trained_with(loss, *layers):
        return to_dict(configuration(loss__name=loss, augment__layers=layers))

    before = trained_with("/home/mine/loss.py:f", "/home/mine/noise.py:A", "/home/mine/noise.py:B")
    layers = ("/own/mine/noise.py:A", "/own/mine/noise.py:B")
    assert differences(before, trained_with("/own/mine/loss.py:f", *layers)) == []
    for changed, key in (
        (trained_with("/own/mine/loss.py:h", *layers), "loss.name"),
        (trained_with("/own/mine/losses.py:f", *layers), "loss.name"),
        (trained_with("loss:f", *layers), "loss.name"),
        (trained_with("/own/mine/loss.py:f", *reversed(layers)), "augment.layers"),
        (trained_with("/own/mine/loss.py:f", layers[0]), "augment.layers"),
    ):
        (text,) = differences(before, changed)
        assert text.startswith(f"{key} (")


def test_a_metric_is_called_by_its_name_and_its_file_says_what_is_better(tmp_path):
    file = own_code.write(tmp_path, figures=LOUD) / "figures.py"
    other = own_code.write(tmp_path / "other", figures="") / "figures.py"
    metrics = (f"{file}:cost", f"{other}:gain")
    config = configuration(metrics=metrics, checkpoint__best_metric="val_cost")
    assert metric_names(config)[-2:] == ["val_cost", "val_gain"]
    assert not greater_is_better("val_cost", metrics)
    assert greater_is_better("val_gain", metrics)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (("a.py:f1",), "called like a figure there is; rename it"),
        (("a.py:accuracy",), "called like a figure there is"),
        (("a.py:loss",), "called like a figure there is"),
        (("a.py:f", "b.py:f"), "metrics: two are called f; rename one"),
    ],
)
def test_metrics_of_one_name_are_refused(metrics, words):
    with pytest.raises(ConfigError, match=words):
        configuration(metrics=metrics)


def test_a_space_searches_among_own_code(tmp_path):
    mine = own_code.write(tmp_path, loss=LOUD, figures=LOUD)
    file = datasets.write_config(
        tmp_path / "config.py", datasets.CLASSIFICATION, metrics=(f"{mine}/figures.py:cost",)
    )
    text = "metric: val_cost\nsearch: {{loss.name: [{0}/{1}.py:f, focal]}}"
    space, _ = base_config(parse_space(text.format(mine, "loss"), "space"), file, [])
    assert space.stages[0]["loss.name"] == (f"{mine}/loss.py:f", "focal")
    assert not space.greater
    with pytest.raises(ConfigError, match=r"of the space: \S+none.py:f: no such file"):
        base_config(parse_space(text.format(mine, "none"), "space"), file, [])


def test_a_file_that_is_here_is_not_replaced_by_one_of_its_name(tmp_path):
    """Nor is one of a pod by that of another folder, where its own is given too."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text("def body(images, model): ...\n")
    first, second = (f"{tmp_path / name / 'net.py'}:body" for name in ("a", "b"))

    def backbone(recorded, given, sources=None):
        config = Config(model=ModelConfig(backbone=recorded))
        return with_files(config, given, sources or {}).model.backbone

    assert backbone(second, [first]) == second
    assert backbone("/own/b/net.py:body", [first, second]) == second
    assert backbone("/own/net.py:body", [first]) == first
    # Of two, that whose source is as recorded, whatever their folders are called.
    (tmp_path / "b" / "net.py").write_text("def body(images, model): return images\n")
    for file in (first, second):
        there = "/own/c/net.py:body"
        sources = {"model.backbone": {**source_record(file), "reference": there}}
        assert backbone(there, [first, second], sources) == file
