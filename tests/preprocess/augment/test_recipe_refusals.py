"""Every way a recipe can be wrong ends in one line that says where, what, and what to write."""

import pytest

from preprocess.augment import Recipe, load_recipe
from preprocess.shell.errors import ConfigError
from preprocess.shell.yaml_text import MAX_BYTES


def operation(entry):
    return f"version: 1\noperations:\n  - {entry}\n"


BAD = {
    # operations and keys
    "unknown operation": (
        operation("horizontal_flop: {probability: 1}"),
        ["operations[0]", "horizontal_flop", "did you mean 'horizontal_flip'?", "gaussian_blur"],
    ),
    "no pipeline": (operation("albumentations: {}"), ["`pipeline` is missing"]),
    "pipeline that is not there": (
        operation("albumentations: {pipeline: no/such.json}"),
        ["operations[0].albumentations", "'no/such.json'", "no such file", "recipe's folder"],
    ),
    "pipeline that is none": (
        operation("albumentations: {pipeline: [1]}"),
        ["albumentations.pipeline", "[1]", "albumentations.to_dict"],
    ),
    "pipeline of something else": (
        operation("albumentations: {pipeline: {transforms: []}}"),
        ["{'transforms': []}", "{transform: ...}"],
    ),
    "pipeline with what JSON does not know": (
        operation("albumentations: {pipeline: {transform: {p: .nan}}}"),
        ["albumentations.pipeline", "not plain data"],
    ),
    "unknown key": (
        operation("affine: {probability: 1, rotate_degree: [0, 1]}"),
        ["operations[0].affine", "rotate_degree", "did you mean 'rotate_degrees'?", "shift_x"],
    ),
    "key that is no text": (operation("affine: {probability: 1, 7: 8}"), ["unknown key 7"]),
    "missing probability": (operation("horizontal_flip: {}"), ["`probability` is missing"]),
    "missing setting": (operation("gaussian_blur: {probability: 1}"), ["`sigma_pixels` is miss"]),
    "name alone": (operation("horizontal_flip"), ["'horizontal_flip'", "{probability: ...}"]),
    "no settings": (operation("horizontal_flip:"), ["None", "{probability: ...}"]),
    "two operations in one entry": (
        operation("{horizontal_flip: {probability: 1}, affine: {probability: 1}}"),
        ["operations[0]", "needs one"],
    ),
    # numbers
    "probability above one": (
        operation("horizontal_flip: {probability: 1.5}"),
        ["operations[0].horizontal_flip.probability", "1.5", "between 0 and 1"],
    ),
    "probability below zero": (operation("horizontal_flip: {probability: -0.1}"), ["-0.1"]),
    "probability not a number": (operation("horizontal_flip: {probability: .nan}"), ["nan"]),
    "probability infinite": (operation("horizontal_flip: {probability: .inf}"), ["inf"]),
    "probability a word": (operation("horizontal_flip: {probability: often}"), ["'often'"]),
    "probability a boolean": (operation("horizontal_flip: {probability: yes}"), ["True"]),
    "probability a quoted number": (
        operation("horizontal_flip: {probability: '0.5'}"),
        ["'0.5'", "write 0.5 without quotes"],
    ),
    "exponent without a point": (
        operation("horizontal_flip: {probability: 5e-1}"),
        ["'5e-1'", "write 0.5"],
    ),
    "probability nothing": (operation("horizontal_flip: {probability: }"), ["None"]),
    "number too long to print": (
        operation(f"horizontal_flip: {{probability: {'9' * 400}}}"),
        ["an enormous number"],
    ),
    "low above high": (
        operation("affine: {probability: 1, scale: [1.2, 0.8]}"),
        ["affine.scale", "[1.2, 0.8]", "write [0.8, 1.2]"],
    ),
    "range of three": (operation("affine: {probability: 1, scale: [1, 2, 3]}"), ["[low, high]"]),
    "range with a word": (operation("affine: {probability: 1, scale: [1, big]}"), ["'big'"]),
    "range with NaN": (operation("affine: {probability: 1, scale: [1, .nan]}"), ["nan"]),
    "range out of limits": (
        operation("affine: {probability: 1, scale: [0, 1]}"),
        ["between 0.1 and 10"],
    ),
    "range a mapping": (operation("affine: {probability: 1, scale: {a: 1}}"), ["{'a': 1}"]),
    "fraction where whole numbers go": (
        operation("jpeg_quality: {probability: 1, quality: [50.5, 60]}"),
        ["50.5", "an integer"],
    ),
    # words and colours
    "unknown border": (
        operation("affine: {probability: 1, border: mirror}"),
        ["affine.border", "'mirror'", "reflect, replicate, constant"],
    ),
    "border a number": (operation("affine: {probability: 1, border: 4}"), ["4", "reflect"]),
    "colour out of range": (
        operation("cutout: {probability: 1, height: 1, width: 1, fill: 300}"),
        ["cutout.fill", "300", "between 0 and 255"],
    ),
    "colour of two": (
        operation("cutout: {probability: 1, height: 1, width: 1, fill: [1, 2]}"),
        ["[red, green, blue]"],
    ),
    # the top level
    "empty": ("", ["empty", "version: 1"]),
    "comments only": ("# nothing\n", ["empty"]),
    "a list": ("- horizontal_flip\n", ["needs a mapping"]),
    "a word": ("photos", ["'photos'", "needs a mapping"]),
    "unknown top key": (
        "version: 1\noperation: []\n",
        ["'operation'", "did you mean 'operations'?"],
    ),
    "no version": ("operations: []\n", ["version: received none, needs 1"]),
    "later version": ("version: 2\noperations: []\n", ["version: received 2"]),
    "version true": ("version: true\noperations: []\n", ["version: received True"]),
    "no operations": ("version: 1\n", ["operations: received none"]),
    "operations a mapping": ("version: 1\noperations: {a: 1}\n", ["needs a list"]),
    "description a number": ("version: 1\ndescription: 5\noperations: []\n", ["needs text"]),
    # YAML itself
    "not YAML": ("version: [1\n", ["not valid YAML at line"]),
    "two documents": ("version: 1\n---\nversion: 1\n", ["not valid YAML"]),
    "control character": ("version: 1\x00", ["not valid YAML"]),
    "impossible date": ("version: 2026-99-99\n", ["not valid YAML"]),
    "Python object": ("version: !!python/object/apply:os.getcwd []\n", ["not valid YAML"]),
    "list as key": ("? [1]\n: 2\n", ["not valid YAML"]),
    "key twice": (
        operation("affine: {probability: 1, probability: 0}"),
        ["line 3", "'probability'", "a second time"],
    ),
    "anchor": ("version: &v 1\noperations: []\n", ["anchor or alias 'v'"]),
    "alias": ("version: 1\noperations: *o\n", ["anchor or alias 'o'"]),
    "bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", ["anchor or alias"]),
    "deep nesting": ("[" * 20_000, ["nested deeper than 24"]),
    "too long": ("#" * (MAX_BYTES + 1), ["longer than"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_recipe_is_refused_in_one_line(case):
    text, parts = BAD[case]
    with pytest.raises(ConfigError) as refusal:
        Recipe.from_yaml(text, "mine.yaml")
    message = str(refusal.value)
    assert message.startswith("mine.yaml: ")
    assert "\n" not in message
    assert len(message) < 500
    for part in parts:
        assert part in message


def test_a_recipe_file_is_read_by_its_path(tmp_path):
    path = tmp_path / "мой рецепт.yaml"
    path.write_text("\ufeffversion: 1\ndescription: моё\noperations: []\n", encoding="utf-8")
    assert load_recipe(str(path)).description == "моё"


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"\xff\xfe\x00", "not UTF-8"), (b"#" * 10**6, "larger than"), (b"", "empty")],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, content, part):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=part):
        load_recipe(str(path))


@pytest.mark.parametrize("name", ["photo", "", "no/such.yaml", "nul\0byte", "/"])
def test_a_recipe_that_is_not_there_is_refused_with_the_shipped_names(name):
    with pytest.raises(ConfigError, match=r"one of: faces, photos|cannot be read"):
        load_recipe(name)


def test_a_near_miss_of_a_shipped_name_is_pointed_out():
    with pytest.raises(ConfigError, match="did you mean 'faces'"):
        load_recipe("face")
