"""`stages`: what they are, and what is refused."""

import dataclasses
import json

import pytest

from preprocess.shell.errors import ConfigError
from trainer.config import Config, differences, from_dict, load_config, to_dict
from trainer.config.training_stages import Stage, last_stage, stages_left, stages_of

TWO = ({"epochs": 5, "trainable": "head"}, {"trainable": "block6a_expand", "learning_rate": 1e-5})


def config(stages=TWO, **changes):
    return dataclasses.replace(Config(), stages=stages, **changes)


def test_without_any_there_is_one_for_the_whole_run():
    assert stages_of(config(())) == (Stage(0, 0, 25, "all", 1e-3),)
    assert stages_of(config(()))[0].in_words(config(())) == ""


def test_each_begins_where_the_one_before_ends():
    assert stages_of(config()) == (
        Stage(0, 0, 5, "head", 1e-3),
        Stage(1, 5, 20, "block6a_expand", 1e-5),
    )
    assert stages_of(config())[1].in_words(config()) == (
        "stage 2 of 2, epochs 6 to 25: trains block6a_expand, learning rate 1e-05, optimizer from "
        "scratch"
    )


def test_a_shorter_run_does_not_reach_all_of_them():
    """Such as a trial of one epoch; the first one stays as long as it is, for its schedule."""
    short = config(epochs=3)
    assert [stage.epochs for stage in stages_of(short)] == [5, 0]
    assert stages_of(short)[0].in_words(short).startswith("stage 1 of 2, epochs 1 to 3: ")
    assert stages_of(short)[1].in_words(short) == (
        "stage 2 of 2 is not reached: it begins after epoch 5 of 3"
    )


@pytest.mark.parametrize(
    ("epochs", "lengths"), [(0, [5, 20]), (3, [2, 20]), (5, [20]), (24, [1]), (25, [])]
)
def test_what_is_left_of_them_after_some_epochs(epochs, lengths):
    assert [stage["epochs"] for stage in stages_left(config(), epochs)] == lengths


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("[{'epochs': 5, 'train': 'head'}]", r"stages\[0\]: train is unknown.*epochs, trainable"),
        ("[{'epochs': 0}]", r"stages\[0\].epochs: received 0, takes an integer of at least 1"),
        ("[{'epochs': True}]", r"stages\[0\].epochs: received True"),
        ("[{}, {'epochs': 20}]", r"stages\[0\] has no epochs; only the last"),
        ("[{'epochs': 5}, {'epochs': 10}]", r"sum to 15, epochs is 25: set epochs to 15, or"),
        ("[{'learning_rate': -1}]", r"stages\[0\].learning_rate: received -1, takes a finite"),
        ("[{'learning_rate': '1e-5'}]", r"stages\[0\].learning_rate: received '1e-5'"),
        ("[{'trainable': ''}]", r"stages\[0\].trainable: received '', takes a text"),
        ("[5]", r"stages: received \[5\], takes a list of mappings"),
        ("head", r"stages: received 'head', takes a list of mappings"),
    ],
)
def test_what_is_no_stage_is_refused_by_its_number(text, refused):
    with pytest.raises(ConfigError, match=refused):
        load_config("fec_triplet", [("stages", text)])


def test_a_run_may_be_made_longer_at_its_end_only():
    """The other stages have been trained, or would begin at another time."""
    three = [dict(stage) for stage in TWO] + [{"epochs": 5}]
    three[1]["epochs"] = 10
    before = to_dict(config(tuple(three), epochs=20))
    longer = [*three[:2], {"epochs": 9}]
    assert differences(before, to_dict(config(tuple(longer), epochs=24))) == []
    assert differences(before, to_dict(config((*three[:2], {}), epochs=24))) == []
    longer[1] = {**three[1], "epochs": 14}
    changed = differences(before, to_dict(config((*longer[:2], {}), epochs=24)))
    assert [line.partition(" ")[0] for line in changed] == ["stages"]


def test_the_last_stage_alone_is_a_run_without_stages():
    alone = last_stage(config())
    assert (alone.stages, alone.epochs, alone.model.trainable) == ((), 20, "block6a_expand")
    assert alone.optimizer.learning_rate == 1e-5
    assert last_stage(config(())) == config(())


def test_a_file_and_the_command_line_give_the_same(tmp_path):
    file = tmp_path / "config.py"
    file.write_text(
        "from trainer.config import defaults\n\n\ndef get_config():\n    config = defaults()\n"
        f"    config.stages = {list(TWO)!r}\n    return config\n"
    )
    by_file = load_config(str(file))
    assert by_file.stages == TWO
    by_word = load_config("fec_triplet", [("stages", json.dumps(TWO))])
    assert by_word.stages == TWO
    assert from_dict(json.loads(json.dumps(to_dict(by_word)))) == by_word
    assert load_config(str(file), [("stages", "")]).stages == ()
