"""Webdataset tars: labels beside pictures, class names beside tars."""

from __future__ import annotations

import io
import json
import os
import tarfile

import pytest

from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import item_readers, read_source, recognise
from preprocess.sources.rows import Request
from tests.preprocess import made


def read(images, kind="webdataset", **request):
    return read_source(kind, Request(images=str(images), **request))


def rows(source):
    """(id, split, class, file) of each picture."""
    contents = item_readers.read_many([p.path for p in source.pictures])
    return sorted(
        (p.id, p.split, source.classes[p.label], content)
        for p, content in zip(source.pictures, contents, strict=True)
    )


def write(path, members, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            data = content if isinstance(content, bytes) else str(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return made.class_folders(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="module")
def jpeg(folders):
    return next(folders.rglob("*.jpg")).read_bytes()


@pytest.mark.parametrize("packed", ["tar", "tar.gz"])
@pytest.mark.parametrize("label", ["cls", "json", "name"])
def test_tars_hold_what_their_class_folders_hold(folders, tmp_path, label, packed):
    names = ["cat", "dog"]
    for split in ("train", "test"):
        for shard in range(2):
            members: dict[str, object] = {}
            for file in sorted((folders / split).rglob("*.jpg"))[shard::2]:
                number = names.index(file.parent.name)
                members[file.name] = file.read_bytes()
                if label == "json":
                    members[f"{file.stem}.json"] = json.dumps({"label": number, "x": [1]})
                else:
                    members[f"{file.stem}.cls"] = number if label == "cls" else names[number]
            mode = "w:gz" if packed == "tar.gz" else "w"
            write(tmp_path / "wds" / f"{split}-{shard:06d}.{packed}", members, mode)
    (tmp_path / "wds" / "classnames.txt").write_text("cat\ndog\n")
    assert recognise(Request(images=str(tmp_path / "wds")))[0].name == "webdataset"
    assert rows(read(tmp_path / "wds")) == rows(read(folders, "folders"))


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"1.jpg": b"x", "1.cls": 0}, "webdataset"),
        ({"a/1.jpg": b"x", "a/1.cls": 0}, "webdataset"),
        ({"1.jpg": b"x", "1.json": "{}"}, "webdataset"),
        ({"cat/1.jpg": b"x", "cat/1.json": "{}"}, "folders"),
        ({"cat/1.jpg": b"x", "cat/2.cls": 0}, "folders"),
    ],
)
def test_one_tar_is_told_from_an_archive_of_class_folders(tmp_path, members, kind):
    path = write(tmp_path / "x.tar", members)
    assert recognise(Request(images=str(path)))[0].name == kind


def test_labels_stand_in_a_named_key_or_field(tmp_path, jpeg):
    path = write(
        tmp_path / "x.tar",
        {"1.jpg": jpeg, "1.json": '{"species": "ant", "id": 7}', "1.txt": "a caption"},
    )
    assert read(path, columns=(("label", "species"),)).classes == ["ant"]
    assert read(path, columns=(("label", "id"),)).classes == ["7"]
    assert read(path, columns=(("label", "txt"),)).classes == ["a caption"]
    with pytest.raises(UsageError, match="this source has image, label"):
        read(path, columns=(("path", "x"),))


def test_pictures_without_a_label_are_refused_one_by_one(tmp_path, jpeg):
    members = {"1.jpg": jpeg, "1.cls": 0, "2.jpg": jpeg, "3.jpg": jpeg, "3.json": "{"}
    source = read(write(tmp_path / "x.tar", members))
    assert [p.id for p in source.pictures] == ["0/1.jpg"]
    assert [(r.source, r.detail) for r in source.rejections] == [
        ("2.jpg", "no label"),
        ("3.jpg", "no label"),
    ]
    with pytest.raises(DataError, match="no labelled pictures"):
        read(write(tmp_path / "y.tar", {"1.jpg": jpeg, "1.json": '{"label": [1]}'}))


def test_several_pictures_of_a_key_need_a_choice(tmp_path, jpeg):
    path = write(tmp_path / "x.tar", {"1.l.jpg": b"l", "1.r.jpg": b"r", "1.cls": 0})
    with pytest.raises(DataError, match=r"several pictures for '1': l.jpg, r.jpg"):
        read(path)
    ((_, _, _, content),) = rows(read(path, columns=(("image", "r.jpg"),)))
    assert content == b"r"


def test_a_tar_without_pictures_and_hostile_members_say_so(tmp_path, jpeg):
    with pytest.raises(DataError, match=r"has no pictures KEY\.jpg"):
        read(write(tmp_path / "x.tar", {"1.cls": 0}))
    path = tmp_path / "y.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("1.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        label = tarfile.TarInfo("1.cls")
        label.size = 1
        archive.addfile(label, io.BytesIO(b"0"))
    source = read(path)
    assert source.pictures == []
    assert [(r.source, r.reason) for r in source.rejections] == [("1.jpg", "outside_folder")]


@pytest.mark.parametrize("spoil", [os.mkfifo, os.mkdir])
def test_class_names_are_read_from_a_plain_file(tmp_path, jpeg, spoil):
    write(tmp_path / "a.tar", {"a.jpg": jpeg, "a.cls": 0})
    spoil(tmp_path / "classes.txt")
    with pytest.raises(DataError, match=r"classes\.txt': not a regular file"):
        read(tmp_path)
