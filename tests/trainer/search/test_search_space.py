"""Spaces: what is read, what is refused with which words."""

import os

import pytest
import yaml

from preprocess.shell.errors import ConfigError
from trainer.search.space import (
    GRID,
    TPE,
    Range,
    base_config,
    load_space,
    parse_space,
    space_names,
    starting_point,
)

SMALL = """
sampler: grid
set: {model.embedding_size: 8, epochs: 1}
search:
  model.scale: [0.5, 1, 2]
"""


def test_the_shipped_space_is_the_course_s_search_with_repeats_and_delta():
    """DESIGN.md section 1.1: embedding 16 and scale 1/4 to 8; then the best scale and embeddings
    8 to 1024; a run is 200 training and 200 validation batches.
    """
    space = load_space("fec_two_stage")
    assert space.sampler == GRID and space.repeats > 1
    assert space.stages[0] == {"model.scale": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)}
    assert space.stages[1] == {"model.embedding_size": (8, 16, 32, 128, 1024)}
    assert "loss.delta" in space.keys
    space, config = base_config(space, "fec_triplet", [])
    assert (config.epochs, config.steps_per_epoch, config.validation_steps) == (1, 200, 200)
    assert starting_point(space, config) == {
        "model.scale": 1.0,
        "model.embedding_size": 16,
        "loss.delta": 0.5,
    }
    assert space.metric == "val_triplet_accuracy" and space.greater


@pytest.mark.parametrize("name", space_names())
def test_every_shipped_space_reads(name):
    assert load_space(name).keys


def test_integers_become_numbers_where_the_key_is_one_and_ranges_keep_their_kind():
    space = parse_space(
        """
        sampler: tpe
        trials: 9
        search:
          model.scale: [1, 2]
          optimizer.learning_rate: {low: 1.0e-4, high: 1, log: true}
          batch_size: {low: 16, high: 64, step: 16}
        """,
        "space",
    )
    assert (space.sampler, space.trials) == (TPE, 9)
    assert space.stages[0]["model.scale"] == (1.0, 2.0)
    assert space.stages[0]["optimizer.learning_rate"] == Range(1e-4, 1.0, True, None)
    assert space.stages[0]["batch_size"] == Range(16, 64, False, 16)


def test_the_command_line_wins_over_the_space_and_the_space_over_the_preset():
    space = parse_space(SMALL, "space")
    _, config = base_config(space, "demo", [("epochs", "3")])
    assert (config.model.embedding_size, config.epochs) == (8, 3)  # demo has 16 and 6


@pytest.mark.parametrize(
    "stages",
    ["[{epochs: 3, trainable: head}]", "[{epochs: 2, trainable: head}, {epochs: 1}]", "[]"],
)
def test_the_stages_of_each_training_are_set_whatever_their_number(stages):
    space = parse_space(
        f"set: {{epochs: 3, stages: {stages}}}\nsearch: {{batch_size: [4]}}", "space"
    )
    _, config = base_config(space, "demo", [])
    assert list(config.stages) == yaml.safe_load(stages)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", ["mapping"]),
        ("search: {model.scael: [1]}", ["model.scael", "did you mean model.scale"]),
        ("search: {model.scale: [1, -1]}", ["model.scale", "-1", "above 0"]),
        ("search: {model.scale: [1, 1]}", ["different choices"]),
        ("search: {model.scale: 1}", ["list of choices", "low"]),
        ("search: {model.scale: {low: 1, high: 2}}", ["range", "grid takes lists"]),
        ("sampler: tpe\nsearch: {model.scale: {low: 2, high: 1}}", ["low < high"]),
        ("sampler: tpe\nsearch: {model.dropout: {low: 0, high: 0.5, log: true}}", ["above 0"]),
        ("sampler: tpe\nsearch: {optimizer.name: {low: 0, high: 1}}", ["no number"]),
        ("sampler: tpe\nsearch: {model.scale: {low: 1, high: 2, lgo: true}}", ["lgo"]),
        ("sampler: bayes\nsearch: {model.scale: [1]}", ["bayes", "grid, tpe, random"]),
        ("smapler: grid\nsearch: {model.scale: [1]}", ["smapler", "did you mean 'sampler'"]),
        ("sampler: tpe\nstages: [{model.scale: [1]}, {epochs: [1]}]", ["grid sampler"]),
        ("search: {seed: [1, 2]}", ["repeats"]),
        ("search: {optimizer.args: [1]}", ["free arguments"]),
        ("search: {profile.steps: [[1, 9]]}", ["is a list"]),
        ("repeats: 0\nsearch: {model.scale: [1]}", ["repeats", "at least 1"]),
        ("repeats: true\nsearch: {model.scale: [1]}", ["repeats", "integer"]),
        ("set: {epocs: 1}\nsearch: {model.scale: [1]}", ["epocs", "epochs"]),
        ("set: {epochs: 1}", ["either `search:` or `stages:`"]),
        ("search: {model.scale: [1], model.scale: [2]}", ["line 1", "second time"]),
        ("search: {model.scale: [1", ["not valid YAML"]),
        ("search: " + "[" * 5000 + "]" * 5000, ["nested deeper"]),
        ("search: &a {model.scale: [*a]}", ["anchor or alias"]),
        ("search: {model.scale: [!!python/name:os.system '']}", ["not valid YAML"]),
        ("search: {? [1] : 2}", ["not valid YAML"]),
        ("3: 4", ["unknown field 3"]),
        ("search: {model.scale: {low: 0x" + "f" * 5000 + ", high: 2}}", ["model.scale"]),
        ("stages: 0x" + "f" * 5000, ["enormous"]),
        ("search: {0x" + "f" * 500 + ": 1}", ["enormous"]),
        ("#" * 70_000, ["longer than"]),
    ],
)
def test_a_mistake_in_a_space_is_refused_with_the_remedy(text, words):
    with pytest.raises(ConfigError) as refused:
        parse_space(text, "--space=mine.yaml")
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_space_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(ConfigError, match="fec_two_stage"):
        load_space(str(tmp_path / "none.yaml"))


def test_a_space_is_read_from_a_regular_file_of_bounded_size(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * 70_000)
    for name, word in (("pipe.yaml", "not a regular file"), ("large.yaml", "allowed")):
        with pytest.raises(ConfigError, match=word) as refusal:
            load_space(str(tmp_path / name))
        assert "shipped spaces" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # demo has two virtual replicas: a batch of 3 does not divide.
        ("search: {batch_size: [4, 3]}", ["batch_size=3", "virtual_replicas"]),
        ("metric: val_accuracy\nsearch: {model.scale: [1]}", ["val_accuracy", "val_triplet"]),
    ],
)
def test_values_that_do_not_go_with_the_configuration_are_refused_before_any_run(text, words):
    with pytest.raises(ConfigError) as refused:
        base_config(parse_space(text, "space"), "demo", [])
    for word in words:
        assert word in str(refused.value)
