from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.pictures.decode import decode
from preprocess.shell.errors import DataError, UsageError
from preprocess.synth.annotators import TYPES, judge, pick_triplets, vote
from preprocess.synth.dataset import SUBSETS, oracle, synthesise
from preprocess.synth.expression import NAMES, Expression, distances
from preprocess.synth.face import SIZE, draw_face, draw_looks
from preprocess.synth.numbered import face_id, make_face

FACES, TRIPLETS = 96, 600


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "faces"
    synthesise(folder, FACES, TRIPLETS, 0.25, seed=3, progress=False)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def content(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_table_has_the_columns_and_rows_of_the_original(made: Path) -> None:
    first = (made / "labels.csv").read_text().splitlines()[0]
    assert first == "face1,face2,face3,votes1,votes2,votes3,triplet_type,subset"
    rows = table(made / "labels.csv")
    assert Counter(row["subset"] for row in rows) == {"train": 450, "test": 150}
    assert {row["triplet_type"] for row in rows if row["subset"] == "test"} == set(TYPES)
    assert all(len({row["face1"], row["face2"], row["face3"]}) == 3 for row in rows)


def test_votes_are_shares_of_at_least_six_annotators(made: Path) -> None:
    """With n annotators each vote is k/n to six digits, for one n from 6 to 9 in a row."""
    for row in table(made / "labels.csv"):
        texts = [row[f"votes{i}"] for i in (1, 2, 3)]
        votes = [float(text) for text in texts]
        assert all(len(text.split(".")[1]) == 6 for text in texts)
        assert sum(votes) == pytest.approx(1, abs=2e-6)
        assert any(
            all(abs(vote - round(vote * n) / n) < 1e-6 for vote in votes) for n in range(6, 10)
        )


def test_no_face_is_in_both_subsets_and_every_face_has_a_picture(made: Path) -> None:
    rows = table(made / "labels.csv")
    used = {
        subset: {row[f"face{i}"] for row in rows if row["subset"] == subset for i in (1, 2, 3)}
        for subset in ("train", "test")
    }
    assert not used["train"] & used["test"]
    truth = {row["face"]: row["subset"] for row in table(made / "truth.csv")}
    assert Counter(truth.values()) == {"train": 72, "test": 24}
    assert all(truth[face] == subset for subset, faces in used.items() for face in faces)
    pictures = {path.stem for path in (made / "images_cropped").iterdir()}
    assert pictures == set(truth)


def test_pictures_are_plain_jpegs_of_the_original_size(made: Path) -> None:
    decoded = decode((made / "images_cropped" / f"{face_id(5)}.jpg").read_bytes())
    assert decoded.image.shape == (SIZE, SIZE, 3)
    assert (decoded.encoding, decoded.verbatim) == ("jpeg", True)


def test_most_triplets_are_clear_and_some_are_not(made: Path) -> None:
    rows = table(made / "labels.csv")
    clear = np.mean([max(float(row[f"votes{i}"]) for i in (1, 2, 3)) > 0.5 for row in rows])
    assert 0.7 < clear < 0.97


@pytest.mark.parametrize("split", ["train", "test"])
def test_oracle_is_high_but_not_perfect(made: Path, split: str) -> None:
    right, counted = oracle(made, split)
    assert 0.85 < right / counted < 0.98


def test_oracle_without_the_truth_is_at_chance(made: Path, tmp_path: Path) -> None:
    """Each face given another one's expression: one of three sides is the shortest by chance,
    so the oracle measures the expressions and nothing else. 0.33 plus 5 deviations of 380
    triplets is 0.46.
    """
    lines = (made / "truth.csv").read_text().splitlines()
    numbers = [line.split(",", 2)[2] for line in lines[1:]]
    shuffled = [
        ",".join([*line.split(",", 2)[:2], number])
        for line, number in zip(
            lines[1:], np.random.default_rng(0).permutation(numbers), strict=True
        )
    ]
    (tmp_path / "truth.csv").write_text("\n".join([lines[0], *shuffled]))
    (tmp_path / "labels.csv").write_text((made / "labels.csv").read_text())
    right, counted = oracle(tmp_path, "train")
    assert counted > 300
    assert right / counted < 0.46


def test_same_seed_same_bytes_and_another_seed_other_pictures(made: Path, tmp_path: Path) -> None:
    synthesise(tmp_path / "again", FACES, TRIPLETS, 0.25, seed=3, progress=False)
    synthesise(tmp_path / "other", FACES, TRIPLETS, 0.25, seed=4, progress=False)
    again, other = content(tmp_path / "again"), content(tmp_path / "other")
    assert again == content(made)
    assert set(other) == set(again)
    assert not {name for name in again if other[name] == again[name]}


def test_a_face_does_not_depend_on_the_others(made: Path) -> None:
    encoded, _ = make_face(42, seed=3)
    assert (made / "images_cropped" / "face_00042.jpg").read_bytes() == encoded


def test_own_directory_is_written_anew_without_leftovers(tmp_path: Path) -> None:
    synthesise(tmp_path / "set", 74, 50, 0.25, seed=0, progress=False)
    synthesise(tmp_path / "set", 72, 40, 0.25, seed=0, progress=False)
    synthesise(tmp_path / "fresh", 72, 40, 0.25, seed=0, progress=False)
    assert content(tmp_path / "set") == content(tmp_path / "fresh")


def test_foreign_directory_and_file_are_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for output in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UsageError, match="--output="):
            synthesise(output, FACES, TRIPLETS, 0.25, progress=False)
    assert content(tmp_path).keys() == {"mine.txt"}


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ({"faces": 20}, "--faces=20"),
        ({"triplets": 1}, "--triplets=1"),
        ({"test_fraction": 0.0}, "--test_fraction=0"),
        ({"test_fraction": float("nan")}, "--test_fraction=nan"),
        ({"seed": -1}, "--seed=-1"),
    ],
)
def test_numbers_that_cannot_be_are_named(
    numbers: dict[str, float], named: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=named):
        synthesise(tmp_path / "set", **{"progress": False, **numbers})  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


def test_oracle_of_no_set_is_a_data_error(made: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"truth\.csv"):
        oracle(tmp_path)
    with pytest.raises(DataError, match="'validation'"):
        oracle(made, "validation")
    (tmp_path / "truth.csv").write_text("face,subset\nface_00000,train\n")
    with pytest.raises(DataError, match="mouth_curve"):
        oracle(tmp_path)


def test_distances_name_the_side_opposite_to_each_picture() -> None:
    """On a line at 0, 3 and 10 (in the first number): opposite the first picture lies 10 - 3 = 7,
    opposite the second 10, opposite the third 3, the smallest: the third is the odd one.
    """
    points = np.zeros((3, 5))
    points[:, 0] = [0, 3, 10]
    assert distances(points).tolist() == [7, 10, 3]


def test_judge_counts_clear_votes_and_needs_both_distances() -> None:
    """The third is odd, see above. Clear and right, clear and wrong, not clear, and three equal
    expressions, where no distance is greater: 1 right of 3 counted.
    """
    points = np.zeros((4, 3, 5))
    points[:3, :, 0] = [0, 3, 10]
    votes = np.array([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
    assert judge(points, votes) == (1, 3)


def test_annotators_agree_on_what_is_plain_to_see() -> None:
    same = Expression(0, 0, 0, 0, 0).vector()
    triplet = np.stack([same, Expression(1, 1, 1, 1, 1).vector(), same])
    votes = vote(np.stack([triplet] * 20), np.random.default_rng(0))
    assert votes.shape == (20, 3)
    assert np.mean(votes, axis=0)[1] > 0.95


def test_annotators_who_see_no_difference_name_each_as_often() -> None:
    """A third each of 3,000 triplets; one picture's share over 6 to 9 annotators deviates by less
    than 0.2, so the mean by less than 0.2 / sqrt(3000) = 0.0037, and 5 of these are 0.018.
    """
    votes = vote(np.zeros((3000, 3, 5)), np.random.default_rng(0))
    np.testing.assert_allclose(votes.mean(axis=0), 1 / 3, atol=0.018)
    np.testing.assert_allclose(votes.sum(axis=1), 1, atol=1e-12)


@given(st.integers(0, 2**32), st.lists(st.integers(3, 6), min_size=3, max_size=8))
def test_triplet_type_is_the_number_of_classes(seed: int, sizes: list[int]) -> None:
    classes = [list(range(10 * c, 10 * c + size)) for c, size in enumerate(sizes)]
    faces, kinds = pick_triplets(classes, 50, np.random.default_rng(seed))
    known = {face for faces_of_class in classes for face in faces_of_class}
    for triplet, kind in zip(faces.tolist(), kinds, strict=True):
        assert len(set(triplet)) == 3
        assert set(triplet) <= known
        assert len({face // 10 for face in triplet}) - 1 == kind


def test_every_three_faces_of_a_class_come_as_often() -> None:
    """3 of 4 faces in any order are 24 sequences. Of 60,000 triplets 12,000 are of one class, 4,000
    of them of the first of three: 167 each, which deviate by 12.7; five of these are 64.
    """
    classes = [[10 * c, 10 * c + 1, 10 * c + 2, 10 * c + 3] for c in range(3)]
    faces, kinds = pick_triplets(classes, 60_000, np.random.default_rng(0))
    found = Counter(map(tuple, faces[(kinds == 0) & (faces.max(axis=1) < 4)].tolist()))
    assert len(found) == 24
    assert all(abs(times - 167) < 64 for times in found.values()), found


def test_rows_do_not_depend_on_how_many_come_after_them(tmp_path: Path) -> None:
    rows = {}
    for count in (2000, 2600):  # more than a block of them
        synthesise(tmp_path / str(count), 72, count, 0.25, seed=0, progress=False)
        rows[count] = table(tmp_path / str(count) / "labels.csv")
    for subset in SUBSETS:
        few, many = ([r for r in rows[n] if r["subset"] == subset] for n in (2000, 2600))
        assert many[: len(few)] == few


@pytest.mark.parametrize("name", NAMES)
def test_each_number_of_an_expression_shows(name: str) -> None:
    """The same person with one number at either end differs where the feature is: a mouth in the
    lower half, brows and eyes in the upper.
    """
    pictures = []
    for value in (-1.0, 1.0):
        rng = np.random.Generator(np.random.Philox(7))
        looks = draw_looks(rng)
        expression = Expression(**{**dict.fromkeys(NAMES, 0.0), name: value})
        pictures.append(draw_face(expression, looks, rng).astype(int))
    change = np.abs(pictures[0] - pictures[1]).sum(axis=(1, 2))
    upper, lower = change[: SIZE // 2].sum(), change[SIZE // 2 :].sum()
    assert (lower if name.startswith("mouth") else upper) > 0.9 * (upper + lower)
    assert (np.abs(pictures[0] - pictures[1]).max(axis=2) > 40).sum() > 80  # pixels, of 12,544


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: absl's flags are global."""
    code = (
        "import sys; from absl import flags; from preprocess.commands import synth\n"
        "from preprocess.shell.errors import UserError\n"
        "assert 'cv2' not in sys.modules and 'numpy' not in sys.modules\n"
        "try: synth.main(flags.FLAGS(sys.argv)[1:])\n"
        "except UserError as error: print(error, file=sys.stderr); sys.exit(error.exit_code)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_command_says_where_things_are_and_what_can_be_reached(tmp_path: Path) -> None:
    output = str(tmp_path / "set")
    flags = [f"--output={output}", "--faces=72", "--triplets=60", "--test_fraction=0.25"]
    as_json = command(*flags, "--json")
    result = json.loads(as_json.stdout)
    right, counted = oracle(output)
    assert result["oracle"] == {
        "split": "test",
        "right": right,
        "counted": counted,
        "accuracy": right / counted,
    }
    assert Path(result["csv"]).is_file()
    assert as_json.stderr == ""  # no bar where nobody looks
    as_text = command(*flags).stdout
    assert f"{output}/labels.csv" in as_text
    assert f"{right / counted:.1%}" in as_text


@pytest.mark.parametrize(
    ("arguments", "named"), [([], "--output=DIR"), (["--output=x", "more"], "'more'")]
)
def test_command_refuses_what_it_cannot_use(arguments: list[str], named: str) -> None:
    result = command(*arguments)
    assert (result.returncode, result.stdout) == (64, "")
    assert named in result.stderr
