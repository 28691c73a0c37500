"""Archives in place of a picture folder: the same records, and nothing a hostile one can do."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from preprocess.shell.errors import DataError
from preprocess.sources import archives, item_readers, read_source
from preprocess.sources.folder import open_folder
from preprocess.sources.gzip_spans import GzipStates
from preprocess.sources.places import parse
from preprocess.sources.rows import Request
from tests.preprocess import made


def read(images, kind="folders", **request):
    return read_source(kind, Request(images=str(images), **request))


def contents(source):
    return {p.id: next(item_readers.read_many([p.path])) for p in source.pictures}


def pack(kind: str, folder: Path, path: Path, top: str = "") -> Path:
    """An archive of a folder's content, below a folder `top` in it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    names = [os.path.join(top, file.relative_to(folder)) for file in files]
    if kind.startswith("zip"):
        method = zipfile.ZIP_STORED if kind == "zip-stored" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", method) as archive:
            for file, name in zip(files, names, strict=True):
                archive.write(file, name)
        return path
    with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
        for file, name in zip(files, names, strict=True):
            archive.add(file, name)
    return path


def tar_of(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return made.class_folders(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="module")
def jpeg(tmp_path_factory):
    return made.save(tmp_path_factory.mktemp("one") / "1.jpg").read_bytes()


# --- what an archive holds


@pytest.mark.parametrize("top", ["", "beans"])
@pytest.mark.parametrize("kind", ["zip", "zip-stored", "tar", "tar.gz"])
def test_an_archive_holds_what_its_folder_holds(folders, tmp_path, kind, top):
    """A top folder in it is passed through, as people pack a folder by its name."""
    archive = pack(kind, folders, tmp_path / f"p.{kind.replace('zip-stored', 'zip')}", top)
    plain, packed = read(folders), read(archive)
    assert contents(packed) == contents(plain)
    assert [(p.id, p.split, p.label) for p in packed.pictures] == [
        (p.id, p.split, p.label) for p in plain.pictures
    ]
    sizes = [[s.stat(p.path).size for p in s.pictures] for s in (plain, packed)]
    assert sizes[0] == sizes[1]


def test_an_archive_builds_the_same_dataset(folders, tmp_path):
    plain = made.built("folders", tmp_path / "plain", images=folders)
    archive = pack("tar.gz", folders, tmp_path / "p.tar.gz", "beans")
    packed = made.built("folders", tmp_path / "packed", images=archive)
    assert packed["digest"] == plain["digest"]
    assert packed["pictures"] == 20


def test_a_folder_in_an_archive_is_named_behind_it(folders, tmp_path):
    archive = pack("tar", folders, tmp_path / "p.tar", "a/b")
    source = read(f"{archive}/a/b/train")
    assert sorted(contents(source)) == [
        f"{c}/{n:03d}.jpg"
        for c, n in [("cat", n) for n in range(5)] + [("dog", n) for n in range(5, 10)]
    ]
    with pytest.raises(DataError, match=r"has no folder 'a/c'; its folders: a"):
        read(f"{archive}/a/c")


def test_a_table_and_triplets_find_their_pictures_in_an_archive(tmp_path):
    flags = made.triplet_set(tmp_path, train=6, test=3)
    archive = pack("zip", flags["images"], tmp_path / "faces.zip")
    plain = read(flags["images"], "fec", csv=str(flags["csv"]))
    packed = read(archive, "fec", csv=str(flags["csv"]))
    assert contents(packed) == contents(plain)
    table = made.write_table(tmp_path / "t.csv", ["path,label", "f000.jpg,a", "/etc/passwd,b"])
    source = read(archive, "csv", csv=str(table))
    assert [p.id for p in source.pictures] == ["f000.jpg"]
    assert [r.reason for r in source.rejections] == ["outside_folder"]


def test_what_systems_leave_in_archives_is_neither_class_nor_top_folder(tmp_path, jpeg):
    archive = zip_of(
        tmp_path / "p.zip",
        {
            "pets/cat/1.jpg": jpeg,
            "pets/dog/2.jpg": jpeg,
            "pets/.DS_Store": b"x",
            "__MACOSX/pets/cat/._1.jpg": b"x",
        },
    )
    source = read(archive)
    assert (source.classes, source.rejections) == (["cat", "dog"], [])
    assert sorted(contents(source)) == ["cat/1.jpg", "dog/2.jpg"]


def test_backslashes_of_old_windows_tools_are_folders(tmp_path, jpeg):
    source = read(zip_of(tmp_path / "p.zip", {"cat\\1.jpg": jpeg, "dog\\2.jpg": jpeg}))
    assert source.classes == ["cat", "dog"]


def test_the_later_of_two_members_of_a_name_counts(tmp_path, jpeg):
    path = tmp_path / "p.tar"
    with tarfile.open(path, "w") as archive:
        for content in (b"old", jpeg):
            info = tarfile.TarInfo("cat/1.jpg")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert contents(read(path)) == {"cat/1.jpg": jpeg}


def test_a_hard_link_is_the_member_that_it_names(tmp_path, jpeg):
    path = tar_of(
        tmp_path / "p.tar",
        {"cat/1.jpg": jpeg, "l": link("dog/2.jpg", "cat/1.jpg", tarfile.LNKTYPE)},
    )
    assert contents(read(path)) == {"cat/1.jpg": jpeg, "dog/2.jpg": jpeg}


def test_an_archive_on_an_object_store_is_read_in_ranges(folders, bucket, tmp_path):
    from preprocess import storage

    for kind in ("zip", "tar"):
        local = pack(kind, folders, tmp_path / f"p.{kind}")
        storage.write_bytes(f"{bucket}/p.{kind}", local.read_bytes())
        assert contents(read(f"{bucket}/p.{kind}")) == contents(read(local))
    storage.write_bytes(f"{bucket}/p.tar.gz", b"\x1f\x8b")
    with pytest.raises(DataError, match="does not exist"):
        read(f"{bucket}/p.tar.gz")


# --- what hostile ones try


@pytest.mark.parametrize("name", ["../cat/1.jpg", "cat/../../../etc/1.jpg", "/../cat/1.jpg"])
@pytest.mark.parametrize("pack_as", [tar_of, zip_of])
def test_names_that_climb_out_are_refused_one_by_one(tmp_path, jpeg, pack_as, name):
    source = read(pack_as(tmp_path / "p.zip", {"cat/0.jpg": jpeg, name: jpeg}))
    assert "cat/0.jpg" in [p.id for p in source.pictures]
    (rejection,) = source.rejections
    assert (rejection.source, rejection.reason) == (name, "outside_folder")
    assert source.classes == ["cat"]


def test_a_climbing_name_does_not_take_the_place_of_a_picture(tmp_path, jpeg):
    source = read(tar_of(tmp_path / "p.tar", {"cat/1.jpg": jpeg, "../cat/1.jpg": b"x"}))
    assert contents(source) == {"cat/1.jpg": jpeg}


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (link("cat/1.jpg", "/etc/passwd"), "outside_folder"),
        (link("cat/1.jpg", "0.jpg"), "outside_folder"),
        (link("cat/1.jpg", "/etc/passwd", tarfile.LNKTYPE), "outside_folder"),
        (link("cat/1.jpg", "", tarfile.FIFOTYPE), "unreadable_file"),
        (link("cat/1.jpg", "", tarfile.CHRTYPE), "unreadable_file"),
    ],
)
def test_links_and_devices_are_refused_one_by_one(tmp_path, jpeg, member, reason):
    source = read(tar_of(tmp_path / "p.tar", {"cat/0.jpg": jpeg, "x": member}))
    assert [p.id for p in source.pictures] == ["cat/0.jpg"]
    assert [(r.source, r.reason) for r in source.rejections] == [("cat/1.jpg", reason)]


def test_links_encrypted_and_oddly_packed_members_of_a_zip_are_refused(tmp_path, jpeg):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/0.jpg", jpeg)
        symbolic = zipfile.ZipInfo("cat/1.jpg")
        symbolic.create_system, symbolic.external_attr = 3, 0o120777 << 16
        archive.writestr(symbolic, "/etc/passwd")
        archive.writestr("cat/2.jpg", jpeg, zipfile.ZIP_BZIP2)
        archive.writestr("cat/3.jpg", jpeg)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # the last entry of the directory: encrypted
    path.write_bytes(data)
    refused = {r.source: r.detail for r in read(path).rejections}
    assert sorted(refused) == ["cat/1.jpg", "cat/2.jpg", "cat/3.jpg"]
    assert "method 12" in refused["cat/2.jpg"]
    assert "encrypted" in refused["cat/3.jpg"]


def test_a_member_never_inflates_beyond_its_promise(tmp_path, jpeg):
    """The directory says 10 bytes, the deflated stream has 5 million."""
    path = zip_of(tmp_path / "p.zip", {"cat/0.jpg": bytes(5_000_000)})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    (content,) = contents(read(path)).values()
    assert content == bytes(10)


def test_a_bomb_for_a_picture_is_refused_at_its_limit(tmp_path):
    source = read(zip_of(tmp_path / "p.zip", {"cat/bomb.jpg": bytes(2 << 20)}))
    (path,) = [p.path for p in source.pictures]
    (content,) = item_readers.read_many([path], 1000)
    assert content == bytes(1000)


def test_members_that_share_bytes_are_a_bomb(tmp_path, jpeg):
    path = zip_of(tmp_path / "p.zip", {"cat/0.jpg": jpeg, "cat/1.jpg": jpeg})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 42
    data[at : at + 4] = bytes(4)  # the second lies where the first does
    path.write_bytes(data)
    with pytest.raises(DataError, match="overlap"):
        read(path)


def test_an_archive_that_unpacks_to_hundreds_of_times_its_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNCHECKED_BYTES", 1 << 20)
    plain = tar_of(tmp_path / "p.tar", {"cat/0.jpg": bytes(6 << 20), "cat/1.jpg": b"x"})
    (tmp_path / "p.tar.gz").write_bytes(gzip.compress(plain.read_bytes()))
    with pytest.raises(DataError, match="more than 200 times"):
        read(tmp_path / "p.tar.gz")


def test_too_many_members_and_headers_of_gigabytes_are_refused(tmp_path, jpeg, monkeypatch):
    path = tar_of(tmp_path / "p.tar", {f"cat/{n}.jpg": b"x" for n in range(4)})
    huge = tarfile.TarInfo("x")
    huge.type, huge.size = tarfile.XHDTYPE, 1 << 32
    (tmp_path / "huge.tar").write_bytes(huge.tobuf() + bytes(1024))
    with pytest.raises(DataError, match="a header of 4294967296 bytes"):
        read(tmp_path / "huge.tar")
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    with pytest.raises(DataError, match="more than 3 members"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.zip", b"PK\x03\x04 no more", "damaged"),
        ("p.tar", b"x" * 600, "damaged"),
        ("p.tgz", b"\x1f\x8b\x08\x00 no more of it", "damaged"),
        ("p.7z", b"7z\xbc\xaf\x27\x1c", "is a 7z archive; only .zip, .tar and .tar.gz"),
        ("p.tar.bz2", b"BZh91AY", "is a bzip2 archive"),
        ("p.jpg", b"\xff\xd8\xff", "is not a folder"),
    ],
)
def test_what_is_no_archive_says_why(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_folder(str(tmp_path / name), "--images")


def test_an_archive_that_was_cut_off_costs_the_pictures_behind_the_cut(folders, tmp_path):
    whole = pack("tar", folders, tmp_path / "p.tar").read_bytes()
    packed = gzip.compress(whole)
    (tmp_path / "c.tar.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="damaged"):
        read(tmp_path / "c.tar.gz")


def test_damage_inside_an_archive_is_an_error_of_that_member(folders, tmp_path):
    path = pack("zip", folders, tmp_path / "p.zip")
    source = read(path)
    place = parse(source.pictures[0].path)
    data = bytearray(path.read_bytes())
    offset = int(place.detail.split(",")[0])
    data[offset : offset + 4] = b"????"
    path.write_bytes(data)
    found = list(item_readers.read_many(p.path for p in source.pictures[:2]))
    assert isinstance(found[0], OSError)
    assert isinstance(found[1], bytes)


# --- gzip at random


@pytest.mark.parametrize("members", [1, 3])
def test_any_byte_of_a_gzipped_file_is_read_whatever_was_read_before(tmp_path, members):
    """Noise packs badly, so that 600 kB are many chunks; few states are kept and thinned out."""
    data = os.urandom(600_000)
    cut = len(data) // members
    parts = [data[n * cut : (n + 1) * cut] for n in range(members)]
    path = tmp_path / "x.gz"
    path.write_bytes(b"".join(map(gzip.compress, parts)))
    states = GzipStates(str(path), spacing=1000, most=4)
    for offset, length in [(0, 10), (500_000, 99), (3, 70_000), (599_990, 100), (700_000, 5)]:
        assert states.read(offset, length) == data[offset : offset + length]
    assert 1 < len(states._states) <= 4


def test_a_damaged_gzip_is_an_error_of_the_item(tmp_path):
    path = tmp_path / "x.gz"
    packed = bytearray(zlib.compress(os.urandom(100_000), wbits=31))
    packed[50_000:50_100] = bytes(100)
    path.write_bytes(packed)
    with pytest.raises(OSError, match=r"the archive is damaged|Errno"):
        GzipStates(str(path)).read(99_000, 1000)


def test_an_archive_that_went_away_is_an_error_of_each_picture(folders, tmp_path):
    source = read(pack("tar.gz", folders, tmp_path / "p.tgz"))
    shutil.rmtree(tmp_path)
    assert all(isinstance(c, FileNotFoundError) for c in contents(source).values())
