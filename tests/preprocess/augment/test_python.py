"""A function of the user's own as an operation: seeded, held by the recipe, refused in one line."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from preprocess.augment import Recipe, load_recipe, variant_generator
from preprocess.augment.recipe import load_stored_recipe
from preprocess.shell.errors import ConfigError, OutputError
from tests.preprocess import made
from tests.preprocess.augment.pictures import noise

PICTURE = noise(6, 5)
STEP = """
import numpy as np
from levels import half

def darker(image, rng):
    return half(image) - np.uint8(rng.integers(0, 2))
"""
LEVELS = "def half(image):\n    return image // 2 + 1\n"


def write(folder, step=STEP, levels=LEVELS, name="darker"):
    folder.mkdir(exist_ok=True)
    (folder / "step.py").write_text(step)
    (folder / "levels.py").write_text(levels)
    recipe = folder / "recipe.yaml"
    entry = f"{{python: {{probability: 1, function: step.py:{name}}}}}"
    recipe.write_text(f"version: 1\noperations: [{entry}, {{horizontal_flip: {{probability: 1}}}}]")
    return str(recipe)


def variant(recipe, number=1, key="a.png"):
    drawn = recipe.draw(variant_generator(0, recipe.digest, key, number), *PICTURE.shape[:2])
    return recipe.apply(PICTURE, drawn)


def test_it_is_called_with_the_picture_and_a_generator_of_its_own(tmp_path):
    """Half of each level, and 0 or 1 more; then flipped."""
    recipe = load_recipe(write(tmp_path))
    seen = {variant(recipe, number).tobytes() for number in range(1, 12)}
    flipped = PICTURE[:, ::-1] // 2
    assert seen == {flipped.tobytes(), (flipped + 1).tobytes()}
    np.testing.assert_array_equal(variant(recipe, 3), variant(recipe, 3))


def test_the_recipe_holds_the_source_so_the_files_may_go(tmp_path):
    recipe = load_recipe(write(tmp_path / "there"))
    shutil.rmtree(tmp_path / "there")
    again = Recipe.from_yaml(recipe.deciding)
    assert again.digest == recipe.digest
    np.testing.assert_array_equal(variant(again), variant(recipe))


def test_moved_it_is_the_same_recipe_and_changed_another(tmp_path):
    digests = [
        load_recipe(path).digest
        for path in (
            write(tmp_path / "a"),
            write(tmp_path / "b"),
            write(tmp_path / "c", step=f"{STEP}# more"),
            write(tmp_path / "d", levels=f"{LEVELS}# more"),
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_the_recipe_of_a_dataset_is_read_and_explained_but_not_run(tmp_path):
    ran = tmp_path / "ran"
    step = f"open({str(ran)!r}, 'w')\ndef darker(image, rng):\n    return image\n"
    (tmp_path / "recipe.yaml").write_text(load_recipe(write(tmp_path / "a", step=step)).yaml)
    recipe = load_stored_recipe(str(tmp_path))
    drawn = recipe.draw(variant_generator(0, recipe.digest, "a.png", 1), *PICTURE.shape[:2])
    (told, _) = recipe.explain(PICTURE, drawn)
    assert told.numbers.keys() == {"seed", "function"}
    assert not ran.exists()
    recipe.check()
    assert ran.exists()


def test_a_recipe_of_a_dataset_names_no_file(tmp_path):
    write(tmp_path)
    with pytest.raises(ConfigError, match="holds its source"):
        load_stored_recipe(str(tmp_path))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("def darker(image): 0", "it is called as darker(image, rng)"),
        ("def lighter(image, rng): 0", "'step.py' has no darker"),
        ("import nothing_like_it", "step.py, line 1: ModuleNotFoundError"),
    ],
)
def test_a_function_that_cannot_be_used_is_found_before_a_build(tmp_path, step, message):
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, step=step)).check()
    assert message in str(caught.value)
    assert os.sep + "recipe-" not in str(caught.value)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("def darker(image, rng):\n    return image[:3]", "makes uint8[3, 5, 3] of uint8[6, 5, 3]"),
        ("def darker(image, rng):\n    return image / 2", "makes float64[6, 5, 3]"),
        (
            "def darker(image, rng):\n    return image[9, 0]",
            ": step.py, line 2: IndexError",
        ),
    ],
)
def test_what_it_makes_is_looked_at(tmp_path, step, message):
    with pytest.raises(ConfigError) as caught:
        variant(load_recipe(write(tmp_path, step=step)))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{probability: 1, function: step}", "needs FILE.py:NAME"),
        ("{probability: 1, function: none.py:f}", "'none.py': no such file"),
        ("{probability: 1, function: a.py:f, source: {../a.py: X}}", "needs FILE.py: TEXT"),
        ("{probability: 1, function: a.py:f, source: {/a.py: X}}", "needs FILE.py: TEXT"),
        ("{probability: 1, function: a.py:f, source: {a.py: 3}}", "needs FILE.py: TEXT"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError) as caught:
        Recipe.from_yaml(f"version: 1\noperations: [{{python: {settings}}}]")
    assert message in str(caught.value)


FULL = """
def darker(image, rng):
    with open("/dev/full", "w") as file:
        file.write("x")
    return image
"""


def test_a_full_disk_under_a_step_is_none_of_the_pictures(tmp_path):
    recipe = load_recipe(write(tmp_path / "recipe", step=FULL))
    with pytest.raises(OutputError, match=r"step.py, line [34]: OSError: .*No space left"):
        variant(recipe)
    images = made.class_folders(tmp_path / "in", count=4)
    with pytest.raises(OutputError, match="No space left"):
        made.built(
            "folders",
            tmp_path / "out",
            images=images,
            variants=2,
            recipe=write(tmp_path / "again", step=FULL),
            max_bad_fraction=1.0,
        )
