"""A pipeline of albumentations as an operation: seeded a picture and variant, kept with the
dataset, refused in one line where it cannot be used.
"""

from __future__ import annotations

import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from preprocess.augment import Drawn, Recipe, load_recipe, variant_generator
from preprocess.examine.verify import verify
from preprocess.shards import reading
from preprocess.shell.errors import ConfigError, DataError
from preprocess.shell.yaml_text import MAX_BYTES
from tests.preprocess import made
from tests.preprocess.augment.pictures import noise


def transform(name: str, **settings: Any) -> dict[str, Any]:
    return {"__class_fullname__": name, **settings}


def serialised(root: dict[str, Any]) -> dict[str, Any]:
    """What `albumentations.to_dict` gives, but for settings that it may leave to their defaults."""
    return {"__version__": "2.0.8", "transform": root}


def compose(*transforms: dict[str, Any], name: str = "Compose") -> dict[str, Any]:
    return serialised(transform(name, p=1.0, transforms=list(transforms)))


FLIPS = compose(transform("HorizontalFlip", p=0.5), transform("VerticalFlip", p=0.5))
RICH = compose(
    transform("HorizontalFlip", p=0.5),
    transform("Affine", p=0.8, rotate=[-20, 20]),
    transform(
        "OneOf",
        p=0.7,
        transforms=[transform("GaussianBlur", p=1.0), transform("HueSaturationValue", p=1.0)],
    ),
    transform("CoarseDropout", p=0.5),
)


def recipe_file(folder: Path, pipeline: object, name: str = "recipe.yaml") -> Path:
    """A recipe with the pipeline between two operations of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    operations = [
        {"horizontal_flip": {"probability": 0.5}},
        {"albumentations": {"pipeline": pipeline}},
        {"cutout": {"probability": 0.5, "height": 0.2, "width": 0.2}},
    ]
    path = folder / name
    path.write_text(yaml.safe_dump({"version": 1, "operations": operations}), encoding="utf-8")
    return path


def only(pipeline: dict[str, Any]) -> Recipe:
    operations = [{"albumentations": {"pipeline": pipeline}}]
    return Recipe.from_yaml(yaml.safe_dump({"version": 1, "operations": operations}))


def variant(recipe: Recipe, image: np.ndarray, number: int) -> np.ndarray:
    rng = variant_generator(0, recipe.digest, "leaf", number)
    return recipe.apply(image, recipe.draw(rng, *image.shape[:2]))


def fired(recipe: Recipe, image: np.ndarray, number: int) -> tuple[str, ...]:
    drawn = recipe.draw(variant_generator(0, recipe.digest, "leaf", number), *image.shape[:2])
    (told,) = recipe.explain(image, drawn)
    return tuple(each["transform"] for each in told.numbers["applied"])


# --- reading: needs no albumentations


def test_json_yaml_and_inline_are_the_same_recipe(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(RICH), encoding="utf-8")
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(RICH), encoding="utf-8")
    recipes = [load_recipe(str(recipe_file(tmp_path, p))) for p in ("a.json", "b.yaml", RICH)]
    assert recipes[0] == recipes[1] == recipes[2]
    assert recipes[0].digest != load_recipe(str(recipe_file(tmp_path, FLIPS))).digest


def test_the_written_recipe_needs_the_pipelines_file_no_more(tmp_path):
    (tmp_path / "p.json").write_text(json.dumps(RICH), encoding="utf-8")
    recipe = load_recipe(str(recipe_file(tmp_path, "p.json")))
    (tmp_path / "p.json").unlink()
    assert Recipe.from_yaml(recipe.yaml) == recipe


def test_numbers_in_json_notation_stay_numbers(tmp_path):
    """1e-05 is a number to JSON and a word to YAML 1.1."""
    pipeline = compose(transform("HorizontalFlip", p=1e-05))
    (tmp_path / "p.json").write_text(json.dumps(pipeline), encoding="utf-8")
    assert "1e-05" in (tmp_path / "p.json").read_text()
    recipe = load_recipe(str(recipe_file(tmp_path, "p.json")))
    assert Recipe.from_yaml(recipe.yaml).operations[1] == only(pipeline).operations[0]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"hello", "needs what `albumentations.save` writes"),
        (b"", "empty; needs what"),
        (b"[1, 2]", "holds \\[1, 2\\], not a pipeline"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"{}", "albumentations.to_dict"),
        (b"#" * (MAX_BYTES + 1), "longer than"),
    ],
)
def test_a_file_that_holds_no_pipeline_is_refused(tmp_path, content, part):
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(ConfigError, match=part) as refusal:
        load_recipe(str(recipe_file(tmp_path, "p.json")))
    assert "\n" not in str(refusal.value)


def test_a_pipeline_that_makes_the_recipe_too_long_to_be_read_back_is_refused(tmp_path):
    """Indented, a list of lists takes many times its characters."""
    blur = transform("Blur", p=0.5, **{f"setting_{n}": [[n, n], [n, n]] for n in range(9)})
    text = json.dumps(compose(*[blur] * 160), separators=(",", ":"))
    assert len(text) < MAX_BYTES
    (tmp_path / "p.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="with its pipeline, above"):
        load_recipe(str(recipe_file(tmp_path, "p.json")))


def test_without_albumentations_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    """And the dataset can be explained but for what the pipeline drew."""
    monkeypatch.setitem(sys.modules, "albumentations", None)
    recipe = only(compose(transform("Transpose", p=1.0)))
    with pytest.raises(ConfigError, match=r"pip install albumentations==\d"):
        recipe.check()
    (told,) = recipe.explain(noise(8, 8), recipe.draw(np.random.default_rng(0), 8, 8))
    assert told.numbers["applied"] is None
    assert told.numbers["pipeline"] == compose(transform("Transpose", p=1.0))


# --- running

ROOTS = {
    "compose": RICH,
    "one transform": serialised(transform("Affine", p=1.0, rotate=[-90, 90])),
    "one of": compose(
        transform("GaussNoise", p=1.0), transform("Affine", p=1.0, rotate=[-9, 9]), name="OneOf"
    ),
    "replay": compose(transform("GaussNoise", p=1.0), name="ReplayCompose"),
}


@pytest.mark.parametrize("root", ROOTS)
def test_the_same_key_gives_the_same_bytes_in_any_order_and_thread(root):
    pytest.importorskip("albumentations")
    recipe, image = only(ROOTS[root]), noise(40, 30)
    before = image.copy()
    forwards = [variant(recipe, image, n).tobytes() for n in range(12)]
    backwards = [variant(recipe, image, n).tobytes() for n in reversed(range(12))]
    assert forwards == backwards[::-1]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            assert forwards == list(
                pool.map(lambda n: variant(recipe, image, n).tobytes(), range(12))
            )
    assert len(set(forwards)) > 6
    np.testing.assert_array_equal(image, before)


def test_neither_global_seeds_nor_their_use_matter():
    pytest.importorskip("albumentations")
    recipe, image = only(RICH), noise(40, 30)
    first = variant(recipe, image, 3)
    random.seed(5)
    np.random.seed(5)
    np.testing.assert_array_equal(variant(recipe, image, 3), first)
    assert random.random() == random.Random(5).random()


def test_the_coins_of_a_pipeline_fall_independently():
    """Two flips at 0.5: four outcomes of a quarter each. In 400 draws a count has a standard
    deviation of 8.7; `Compose.set_random_seed` would give two outcomes of 200.
    """
    pytest.importorskip("albumentations")
    recipe, image = only(FLIPS), noise(8, 8)
    outcomes = [fired(recipe, image, n) for n in range(400)]
    counts = [outcomes.count(each) for each in set(outcomes)]
    assert len(counts) == 4
    assert min(counts) > 60 and max(counts) < 140


def test_explained_transforms_are_those_that_ran(tmp_path):
    """A flip is its own proof: the picture is the mirror image exactly when it is told."""
    pytest.importorskip("albumentations")
    recipe, image = only(compose(transform("HorizontalFlip", p=0.5))), noise(8, 8)
    told = [bool(fired(recipe, image, n)) for n in range(40)]
    flipped = [np.array_equal(variant(recipe, image, n), image[:, ::-1]) for n in range(40)]
    assert told == flipped
    assert 0 < sum(told) < 40


def test_what_is_explained_can_be_printed_as_json():
    """Elastic maps are arrays as large as the picture: shown by their shape."""
    pytest.importorskip("albumentations")
    recipe, image = only(compose(transform("ElasticTransform", p=1.0))), noise(20, 24)
    (told,) = recipe.explain(image, recipe.draw(np.random.default_rng(0), 20, 24))
    text = json.dumps(told.numbers)
    assert '"map_x": "float32[20, 24]"' in text


@pytest.mark.parametrize(
    ("pipeline", "part"),
    [
        (compose(transform("HorizontalFlap", p=1.0)), "'HorizontalFlap'.*'HorizontalFlip'"),
        (compose(transform("Lambda", p=1.0, __name__="x")), "no transform 'Lambda'"),
        (compose(transform("HorizontalFlip", p=7)), "less than or equal to 1"),
        (
            compose(transform("OneOf", p=1.0, transforms=[transform("Blur", p=1.0, size=3)])),
            "Blur has no setting 'size'",
        ),
        (serialised(transform("Compose", transforms=3)), "cannot make the pipeline"),
        (serialised({}), "cannot make the pipeline"),
    ],
)
def test_a_pipeline_that_cannot_be_made_is_refused_before_any_work(pipeline, part):
    pytest.importorskip("albumentations")
    with pytest.raises(ConfigError, match=part) as refusal:
        only(pipeline).check()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        (transform("RandomCrop", p=1.0, height=12, width=12), r"makes uint8\[12, 12, 3\]"),
        (transform("RandomCrop", p=1.0, height=99, width=99), "fails on a picture"),
        (transform("Normalize", p=1.0), "makes float32"),
    ],
)
def test_a_pipeline_that_does_not_keep_shape_and_type_ends_the_build_untouched(
    tmp_path, broken, part
):
    pytest.importorskip("albumentations")
    images = made.class_folders(tmp_path / "in", count=1)
    recipe = recipe_file(tmp_path, compose(broken))
    with pytest.raises(ConfigError, match=part):
        made.built("folders", tmp_path / "out", images=images, variants=2, recipe=str(recipe))
    assert [path.name for path in (tmp_path / "out").rglob("*")] == [".build", "lock"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_picture_of_another_size_on_which_it_fails_is_refused_alone(tmp_path, workers):
    """The first picture has the size that the pipeline makes, a later one has not; one of 13 is
    more than the budget of 1 %.
    """
    pytest.importorskip("albumentations")
    images = made.class_folders(tmp_path / "in", count=3)
    made.Image.fromarray(made.pixels(5, 30, 40)).save(images / "train" / "dog" / "big.png")
    recipe = recipe_file(tmp_path, compose(transform("RandomResizedCrop", p=1.0, size=[20, 24])))
    with pytest.raises(DataError, match=r"1 of 13 inputs refused.*: 1 recipe_failed"):
        made.built(
            "folders",
            tmp_path / "out",
            images=images,
            variants=2,
            recipe=str(recipe),
            workers=workers,
        )
    (line,) = (tmp_path / "out" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    refusal = json.loads(line)
    assert refusal["source"] == "train/dog/big.png"
    assert refusal["detail"].startswith("the albumentations pipeline")
    assert "of uint8[30, 40, 3]" in refusal["detail"]
    assert "while running" not in refusal["detail"]
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_a_dataset_keeps_its_pipeline_and_can_be_drawn_again_from_it(tmp_path):
    """PNG loses nothing, so a stored variant is the recipe applied to variant 0, by what
    DATASET/recipe.yaml says and on any number of workers.
    """
    pytest.importorskip("albumentations")
    images = made.class_folders(tmp_path / "in", count=4)
    (tmp_path / "p.json").write_text(json.dumps(RICH), encoding="utf-8")
    recipe = recipe_file(tmp_path, "p.json")
    out = tmp_path / "out"
    same = {"images": images, "variants": 4, "encoding": "png", "shards": 2, "recipe": str(recipe)}
    first = made.built("folders", out, **same)
    other = made.built("folders", tmp_path / "other", **same, workers=2)
    assert other["digest"] == first["digest"]
    (tmp_path / "p.json").unlink()

    assert verify(str(out), True, lambda: None) == []
    manifest = made.manifest(out)
    assert manifest.versions["albumentations"]
    kept = load_recipe(str(out / "recipe.yaml"))
    assert kept.digest == manifest.recipe
    variants = [made.image_records(out, "train", number) for number in range(4)]
    changed = 0
    for number in (1, 2, 3):
        for original, record in zip(variants[0], variants[number], strict=True):
            image = reading.pixels(original)
            rng = variant_generator(0, kept.digest, original["image/id"].decode(), number)
            drawn = kept.draw(rng, *image.shape[:2])
            told = json.loads(json.dumps([[each.operation, each.numbers] for each in drawn]))
            again = kept.apply(image, [Drawn(name, numbers) for name, numbers in told])
            np.testing.assert_array_equal(reading.pixels(record), again)
            changed += not np.array_equal(again, image)
    assert changed > 12  # of 24; a variant in which nothing fires is possible
