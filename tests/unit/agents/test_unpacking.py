"""Archives and folders: everything in them is listed, and nothing gets out of them."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.agents.made_archives import (
    MIT,
    Room,
    Unpack,
    inside,
    tar_file,
    tar_of,
    tar_special,
    unpacker_in,
    zip_of,
)
from workers.agents.helper import AgentError


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "room")


@pytest.fixture
def unpack(room: Room) -> Unpack:
    return unpacker_in(room)


def test_a_folder_is_read_where_it_is(tmp_path: Path, unpack: Unpack, room: Room) -> None:
    (tmp_path / "src" / "b").mkdir(parents=True)
    (tmp_path / "src" / "b" / "x.py").write_bytes(MIT)
    (tmp_path / "src" / "a.txt").write_bytes(b"")
    entries, notes = unpack(tmp_path / "src")
    assert [(entry.path, entry.place) for entry in entries] == [
        (str(tmp_path / "src" / "a.txt"),) * 2,
        (str(tmp_path / "src" / "b" / "x.py"),) * 2,
    ]
    assert entries[1].sha256 == hashlib.sha256(MIT).digest()
    assert entries[1].size == len(MIT)
    assert notes == []
    assert not room.path.exists()


def test_a_big_file_has_the_digest_of_all_of_it(tmp_path: Path, unpack: Unpack) -> None:
    data = os.urandom(300_000)
    (tmp_path / "big").write_bytes(data)
    (entry,), _ = unpack(tmp_path / "big")
    assert entry.sha256 == hashlib.sha256(data).digest()


def test_links_and_pipes_are_listed_and_neither_followed_nor_opened(tmp_path: Path, unpack: Unpack) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "out").symlink_to("/etc")
    (folder / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    entries, _ = unpack(folder)
    assert [(Path(entry.path).name, entry.kind, entry.sha256) for entry in entries] == [
        ("out", "link", None),
        ("passwd", "link", None),
        ("pipe", "special", None),
    ]


def test_history_and_bytecode_are_skipped_and_counted(tmp_path: Path, unpack: Unpack) -> None:
    for name in (".git/objects/1", ".git/HEAD", "p/__pycache__/a.pyc", "q/__pycache__/b.pyc", "p/a.py"):
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_bytes(b"x")
    entries, notes = unpack(tmp_path / "src")
    assert [entry.path for entry in entries] == [str(tmp_path / "src/p/a.py")]
    assert notes == [
        (str(tmp_path / "src"), "skipped: 2 files below folders named .git"),
        (str(tmp_path / "src"), "skipped: 2 files below folders named __pycache__"),
    ]


def test_our_own_state_is_skipped_below_a_link_too(tmp_path: Path, unpack: Unpack) -> None:
    (tmp_path / "src" / "state").mkdir(parents=True)
    (tmp_path / "src" / "state" / "pg").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "src")
    entries, notes = unpack(tmp_path / "link", skip=[str(tmp_path / "src" / "state")])
    assert entries == []
    assert notes == [(str(tmp_path / "link"), "skipped: 1 files below folders named state")]


def test_a_name_that_is_no_text_is_listed_and_read(tmp_path: Path, unpack: Unpack) -> None:
    name = os.fsencode(tmp_path) + b"/src/caf\xe9"
    (tmp_path / "src").mkdir()
    Path(os.fsdecode(name)).write_bytes(MIT)
    (entry,), _ = unpack(tmp_path / "src")
    assert os.fsencode(entry.place) == name


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_in_every_compression_is_unpacked(mode: str, tmp_path: Path, unpack: Unpack) -> None:
    archive = tar_of(tmp_path / "a.tar", [tar_file("./p/LICENSE"), tar_file("p/x", b"")], mode)
    entries, notes = unpack(archive)
    assert (entries[0].path, entries[0].kind) == (str(archive), "archive")
    assert inside(entries) == {"p/LICENSE": MIT, "p/x": b""}
    assert notes == []


def test_a_tar_from_before_ustar_is_told_by_its_checksum(tmp_path: Path, unpack: Unpack) -> None:
    header = bytearray(tar_file("LICENSE")[0].tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"%011o\0" % len(MIT)
    header[257:512] = bytes(255)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "old.tar").write_bytes(bytes(header) + MIT.ljust(512, b"\0") + bytes(1024))
    entries, _ = unpack(tmp_path / "old.tar")
    assert inside(entries) == {"LICENSE": MIT}


@pytest.mark.parametrize(
    ("name", "compress", "member"),
    [
        ("readme.txt.gz", gzip.compress, "readme.txt"),
        ("readme.bz2", bz2.compress, "readme"),
        ("readme.XZ", lzma.compress, "readme"),
        ("oddly-named", gzip.compress, "oddly-named.content"),
    ],
)
def test_a_compressed_file_holds_one_file(
    name: str, compress: Callable[[bytes], bytes], member: str, tmp_path: Path, unpack: Unpack
) -> None:
    (tmp_path / name).write_bytes(compress(MIT * 10))
    entries, _ = unpack(tmp_path / name)
    assert inside(entries) == {member: MIT * 10}


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_streams_behind_each_other_are_one_file(
    compress: Callable[[bytes], bytes], tmp_path: Path, unpack: Unpack
) -> None:
    (tmp_path / "a").write_bytes(compress(MIT) + compress(b"second"))
    entries, _ = unpack(tmp_path / "a")
    assert inside(entries) == {"a.content": MIT + b"second"}


def test_a_wheel_is_unpacked_and_an_archive_in_it_too(tmp_path: Path, unpack: Unpack) -> None:
    inner = tar_of(tmp_path / "i.tgz", [tar_file("deep/LICENSE")]).read_bytes()
    wheel = zip_of(tmp_path / "p-1.0-py3-none-any.whl", {"p/__init__.py": b"x", "p/data.tgz": inner})
    entries, notes = unpack(wheel)
    assert inside(entries)["p/data.tgz!/deep/LICENSE"] == MIT
    assert notes == []


@pytest.mark.parametrize("name", ["../../escape", "/tmp/escape", "a/../../escape", "..", "./../x"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_name_that_leads_out_is_kept_under_another_one(
    name: str, kind: str, tmp_path: Path, unpack: Unpack, room: Room
) -> None:
    archive = tmp_path / "a"
    tar_of(archive, [tar_file(name)]) if kind == "tar" else zip_of(archive, {name: MIT})
    before = set(tmp_path.rglob("*")) | set(Path("/tmp").glob("escape"))
    entries, notes = unpack(archive)
    after = set(tmp_path.rglob("*")) | set(Path("/tmp").glob("escape"))
    assert list(inside(entries).values()) == [MIT]
    assert [text for _, text in notes] == ["its name leads out of the archive; kept under another one"]
    assert all(room.path in (path, *path.parents) for path in after - before)


def test_nothing_is_written_through_a_link_in_an_archive(tmp_path: Path, unpack: Unpack) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "f").write_bytes(b"mine")
    archive = tar_of(
        tmp_path / "a.tar",
        [
            tar_special("d", tarfile.SYMTYPE, str(victim)),
            tar_file("d/f", b"theirs"),
            tar_special("h", tarfile.LNKTYPE, str(victim / "f")),
            tar_file("h", b"theirs too"),
        ],
    )
    entries, _ = unpack(archive)
    assert (victim / "f").read_bytes() == b"mine"
    assert [entry.kind for entry in entries] == ["archive", "link", "file", "link", "file"]
    assert not any(Path(entry.place).is_symlink() for entry in entries)


def test_a_link_in_a_zip_is_listed_and_made_nowhere(tmp_path: Path, unpack: Unpack) -> None:
    info = zipfile.ZipInfo("out")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    entries, _ = unpack(tmp_path / "a.zip")
    assert [(entry.kind, entry.sha256 is None) for entry in entries] == [("archive", False), ("link", True)]


def test_devices_in_a_tar_are_listed_and_not_made(tmp_path: Path, unpack: Unpack, room: Room) -> None:
    members = [tar_special("null", tarfile.CHRTYPE), tar_special("pipe", tarfile.FIFOTYPE), tar_file("x")]
    entries, _ = unpack(tar_of(tmp_path / "a.tar", members))
    assert [entry.kind for entry in entries] == ["archive", "special", "special", "file"]
    assert all(stat.S_ISREG(path.lstat().st_mode) or path.is_dir() for path in room.path.rglob("*"))


def test_members_of_one_name_are_all_kept(tmp_path: Path, unpack: Unpack) -> None:
    entries, _ = unpack(
        tar_of(tmp_path / "a.tar", [tar_file("x", b"1"), tar_file("x", b"2"), tar_file("x/y", b"3")])
    )
    assert [Path(entry.place).read_bytes() for entry in entries[1:]] == [b"1", b"2", b"3"]


def test_what_is_unpacked_is_readable_for_nobody_else(tmp_path: Path, unpack: Unpack, room: Room) -> None:
    unpack(tar_of(tmp_path / "a.tar", [tar_file("x")]))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in room.path.rglob("*")}
    assert modes == {0o700, 0o600}


def test_a_truncated_archive_gives_what_there_is_and_a_note(tmp_path: Path, unpack: Unpack) -> None:
    random = os.urandom(40_000)
    data = tar_of(
        tmp_path / "a.tgz", [tar_file("a"), tar_file("b", random), tar_file("c", random)]
    ).read_bytes()
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a.tgz").write_bytes(data[: len(data) // 2 + 5000])
    (folder / "z.txt").write_bytes(MIT)
    entries, notes = unpack(folder)
    names = [entry.path.removeprefix(str(folder)) for entry in entries]
    assert names[:3] == ["/a.tgz", "/a.tgz!/a", "/a.tgz!/b"]
    assert names[-1] == "/z.txt"
    assert any(path == str(folder / "a.tgz") and text.startswith("damaged") for path, text in notes)


@pytest.mark.parametrize(
    "magic", [b"PK\x03\x04", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"BZh91AY&SY", b"7z\xbc\xaf\x27\x1c"]
)
def test_a_file_that_only_begins_like_an_archive_is_noted(
    magic: bytes, tmp_path: Path, unpack: Unpack
) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "x").write_bytes(magic + b"no archive at all" * 40)
    entries, notes = unpack(folder)
    assert entries[0].kind == "archive"
    assert [path for path, _ in notes][-1] == str(folder / "x")


def test_an_input_that_is_no_usable_archive_fails_with_its_name(tmp_path: Path, unpack: Unpack) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(AgentError, match=r"bad\.zip: damaged"):
        unpack(tmp_path / "bad.zip")


@pytest.mark.parametrize("name", ["missing", "pipe"])
def test_an_input_that_cannot_be_read_fails_with_its_name(name: str, tmp_path: Path, unpack: Unpack) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AgentError, match=name):
        unpack(tmp_path / name)


def test_a_member_with_a_password_is_noted_and_the_others_are_read(tmp_path: Path, unpack: Unpack) -> None:
    data = bytearray(zip_of(tmp_path / "a.zip", {"secret": MIT, "open": MIT}).read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1  # "encrypted", in the first member's header ...
    data[data.index(b"PK\x01\x02") + 8] |= 1  # ... and in the table of contents
    (tmp_path / "a.zip").write_bytes(data)
    entries, notes = unpack(tmp_path / "a.zip")
    assert inside(entries) == {"open": MIT}
    assert [(path.rpartition("/")[2], "password" in text) for path, text in notes] == [("secret", True)]


def test_a_damaged_member_is_noted_and_the_others_are_read(tmp_path: Path, unpack: Unpack) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("bad", b"content of the first")
        archive.writestr("good", MIT)
    data = (tmp_path / "a.zip").read_bytes().replace(b"content of the first", b"changed of the first", 1)
    (tmp_path / "a.zip").write_bytes(data)
    entries, notes = unpack(tmp_path / "a.zip")
    assert inside(entries)["good"] == MIT
    assert [path.rpartition("/")[2] for path, _ in notes] == ["bad"]
