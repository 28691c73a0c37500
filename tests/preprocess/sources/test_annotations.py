"""What a table's flags name: classes, several labels, numbers, weights, and what is refused."""

import json
import statistics

import pytest

from preprocess.build.dataset_plan import make_plan
from preprocess.shards.shard_plan import Options, PictureEntry
from preprocess.shell.errors import UsageError
from preprocess.sources import find_source, recognise
from preprocess.sources.rows import Request

NAMES = ("a.png", "b.png", "c.png", "d.png")


@pytest.fixture
def read(tmp_path):
    """Reads a table of these lines with these flags."""
    for name in NAMES:
        (tmp_path / name).touch()

    def source(lines, **flags):
        table = tmp_path / "table.csv"
        table.write_text("\n".join(lines) + "\n")
        request = Request(csv=str(table), images=str(tmp_path), **flags)
        assert recognise(request)[0].name == "csv"
        return find_source("csv").read(request)

    return source


def test_a_cell_has_any_number_of_labels_each_once(read):
    lines = ["path,tags", "a.png,dog|cat", "b.png,", "c.png, cat ||cat|", "d.png,dog"]
    source = read(lines, labels="tags", separator="|")
    assert (source.task, source.classes) == ("multilabel", ["cat", "dog"])
    found = [picture.features for picture in source.pictures]
    assert found == [{"image/labels": numbers} for numbers in ([0, 1], [], [0], [1])]
    assert {picture.label for picture in source.pictures} == {None}
    assert not source.rejections and not source.warnings


def test_a_wrong_separator_is_told_with_the_likely_one(read):
    source = read(["path,tags", "a.png,dog|cat", "b.png,cat"], labels="tags")
    assert any("--separator='|'" in warning for warning in source.warnings)
    one_each = read(["path,tags", "a.png,dog", "b.png,cat"], labels="tags")
    assert any("name the column with --label" in warning for warning in one_each.warnings)


def test_numbers_are_those_of_the_columns_in_the_order_of_the_flag(read):
    lines = [
        "path,h,age,split",
        'a.png,1.5,"30,5",train',
        "b.png,2,40,train",
        "c.png,-3e2,9,test",
        "d.png,1,,train",
    ]
    source = read(lines, targets=("age", "h"))
    assert source.task == "regression"
    numbers = [picture.features["image/targets"] for picture in source.pictures]
    assert numbers == [[30.5, 1.5], [40.0, 2.0], [9.0, -300.0]]
    assert [t.name for t in source.targets] == ["age", "h"]
    assert source.targets[0].mean == statistics.fmean([30.5, 40.0])  # of train alone
    assert source.targets[0].std == statistics.pstdev([30.5, 40.0])
    assert [(r.line, r.reason) for r in source.rejections] == [(5, "bad_number")]


def test_a_row_has_a_class_or_labels_and_numbers(read):
    lines = ["path,kind,age,w", "a.png,y|x,3,1", "b.png,x,4,2", "c.png,x,,1", "d.png,,5,1"]
    source = read(lines, label="kind", targets=("age",), weight="w")
    assert (source.task, source.classes) == ("class_and_numbers", ["x", "y|x"])
    assert [(picture.label, picture.features) for picture in source.pictures] == [
        (1, {"image/weight": [1.0], "image/targets": [3.0]}),
        (0, {"image/weight": [2.0], "image/targets": [4.0]}),
    ]
    assert [(r.line, r.reason) for r in source.rejections] == [(4, "bad_number"), (5, "bad_label")]
    source = read(lines, labels="kind", separator="|", targets=("age",))
    assert (source.task, source.classes) == ("labels_and_numbers", ["x", "y"])
    assert [(picture.label, picture.features) for picture in source.pictures] == [
        (None, {"image/labels": [0, 1], "image/targets": [3.0]}),
        (None, {"image/labels": [0], "image/targets": [4.0]}),
        (None, {"image/labels": [], "image/targets": [5.0]}),
    ]
    assert [target.name for target in source.targets] == ["age"]


def test_a_number_that_never_changes_is_told_and_has_a_deviation_of_1(read):
    source = read(["path,n", "a.png,5", "b.png,5"], targets=("n",))
    assert source.targets[0].std == 1
    assert source.warnings == ["target 'n' is 5 for all pictures, so there is nothing to learn"]


def test_a_class_may_have_another_column_and_a_weight(read):
    lines = ["path,kind,w", "a.png,x,0", "b.png,y,2.5", "c.png,x,-1", "d.png,y,nan"]
    source = read(lines, label="kind", weight="w")
    assert (source.task, source.classes, source.weighted) == ("classification", ["x", "y"], True)
    assert [(p.label, p.features) for p in source.pictures] == [
        (0, {"image/weight": [0.0]}),
        (1, {"image/weight": [2.5]}),
    ]
    assert [r.reason for r in source.rejections] == ["bad_number"] * 2


@pytest.mark.parametrize(
    ("header", "first", "second", "flags", "detail"),
    [
        ("path,t", "a.png,x;y", "a.png,x", {"labels": "t"}, "calls it 'x, y'"),
        ("path,n", "a.png,1", "a.png,2", {"targets": ("n",)}, "has 1"),
        ("path,label,w", "a.png,x,1", "a.png,x,2", {"weight": "w"}, "gives it the weight 1"),
        ("path,k,n", "a.png,x,1", "a.png,x,2", {"label": "k", "targets": ("n",)}, "has 1"),
    ],
)
def test_two_rows_of_one_picture_that_differ_are_a_conflict(
    read, header, first, second, flags, detail
):
    source = read([header, first, second], **flags)
    (rejection,) = source.rejections
    assert (rejection.reason, rejection.detail) == ("conflicting_row", f"line 2 {detail}")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"label": "a", "labels": "b"}, "--label and --labels"),
        ({"targets": ("a",), "labels": "a"}, "column 'a' is used twice"),
        ({"targets": ("a", "a")}, "column 'a' is used twice"),
        ({"weight": "path"}, "column 'path' is used twice"),
        ({"labels": "a", "separator": ""}, "--separator is empty"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, words):
    with pytest.raises(UsageError, match=words):
        find_source("csv").read(Request(csv="table.csv", **flags))


def test_a_source_without_a_table_refuses_flags_of_columns(tmp_path):
    from tests.trainer import datasets

    done = datasets.command(
        "preprocess",
        "build",
        "--source=folders",
        f"--images={tmp_path}",
        "--weight=w",
        "--output=x",
    )
    assert done.returncode == 64
    assert "--weight: --source=folders has no such columns" in done.stderr


def test_a_line_of_a_plan_is_what_it_was_where_a_picture_has_nothing_further():
    """Fingerprints, and with them what is built again, depend on it."""
    values = {"id": "a", "key": 1, "label": 0, "path": "/a", "item": None, "line": 2}
    values |= {"bytes": 3, "mtime_ns": 4}
    entry = PictureEntry(**values)
    assert entry.to_json() == json.dumps(values)
    weighted = PictureEntry(**values, features={"image/weight": [1.0]})
    assert weighted.to_json().endswith(', "mtime_ns": 4}')
    assert PictureEntry(**json.loads(weighted.to_json())) == weighted


def test_a_label_that_changes_builds_its_shard_again(read):
    options = Options("multilabel", 0, 1, "", "png", 95, 0, "stretch", 1)
    plans = [
        make_plan(read(["path,t", "a.png,x;y", f"b.png,{tags}"], labels="t"), options)
        for tags in ("x", "x", "y")
    ]
    shards = [plan.shards[0].fingerprint(options) for plan in plans]
    assert shards[0] == shards[1] != shards[2]
