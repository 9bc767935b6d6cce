"""Archives: everything in them is listed, nothing gets out of them, and no bomb goes off."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from workers.agents import archives
from workers.agents.budget import Limits
from workers.agents.helper import AgentError
from workers.agents.unpacking import Entry, Unpacker

SMALL = Limits(total_bytes=1 << 20, entries=50, ratio=10, ratio_from_bytes=1 << 16, depth=3)
MIT = b"Permission is hereby granted\n"


class Room:
    """A folder for one test."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    @property
    def folder(self) -> str:
        self.path.mkdir(exist_ok=True)
        return str(self.path)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "room")


@pytest.fixture
def unpack(room: Room) -> Callable[..., tuple[list[Entry], list[tuple[str, str]]]]:
    """Entries and notes of one input."""

    def run(
        path: Path, limits: Limits = SMALL, skip: Iterable[str] = ()
    ) -> tuple[list[Entry], list[tuple[str, str]]]:
        unpacker = Unpacker(room, limits, alive=lambda: None, skip=frozenset(skip))
        entries = list(unpacker.entries(str(path)))
        return entries, unpacker.notes

    return run


Unpack = Callable[..., tuple[list[Entry], list[tuple[str, str]]]]


def tar_of(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


def tar_file(name: str, data: bytes = MIT) -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


def tar_special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def inside(entries: Iterable[Entry]) -> dict[str, bytes]:
    """Content by the name within the archive."""
    return {
        entry.path.partition("!/")[2]: Path(entry.place).read_bytes()
        for entry in entries
        if "!/" in entry.path and entry.sha256
    }


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


def bomb_note(tmp_path: Path, unpack: Unpack, room: Room, limits: Limits = SMALL) -> str:
    """The note on `bomb` in a folder that holds something harmless too; nothing of the bomb may stay."""
    folder = tmp_path / "src"
    folder.mkdir(exist_ok=True)
    (tmp_path / "bomb").rename(folder / "bomb")
    tar_of(folder / "fine.tgz", [tar_file("x")])
    entries, notes = unpack(folder, limits)
    assert [entry.path.removeprefix(str(folder)) for entry in entries] == [
        "/bomb",
        "/fine.tgz",
        "/fine.tgz!/x",
    ]
    assert sum(path.stat().st_size for path in room.path.rglob("*") if path.is_file()) == len(MIT)
    ((path, text),) = notes
    assert path == str(folder / "bomb")
    return text


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_file_of_zeros_is_a_bomb(
    compress: Callable[[bytes], bytes], tmp_path: Path, unpack: Unpack, room: Room
) -> None:
    (tmp_path / "bomb").write_bytes(compress(bytes(900_000)))
    assert (
        bomb_note(tmp_path, unpack, room) == "not unpacked: more than 10 times as large as the archive itself"
    )


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_member_of_zeros_is_a_bomb(kind: str, tmp_path: Path, unpack: Unpack, room: Room) -> None:
    zeros = bytes(900_000)
    if kind == "tar":
        tar_of(tmp_path / "bomb", [tar_file("a"), tar_file("zeros", zeros)])
    else:
        zip_of(tmp_path / "bomb", {"a": MIT, "zeros": zeros})
    assert "10 times as large" in bomb_note(tmp_path, unpack, room)


def test_more_bytes_than_a_job_may_unpack_are_a_bomb(tmp_path: Path, unpack: Unpack, room: Room) -> None:
    zip_of(tmp_path / "bomb", {str(n): os.urandom(100_000) for n in range(12)})
    assert (
        bomb_note(tmp_path, unpack, room)
        == "not unpacked: more than 1048576 bytes in the archives of this job"
    )


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_more_names_than_a_job_may_unpack_are_a_bomb(
    kind: str, tmp_path: Path, unpack: Unpack, room: Room
) -> None:
    names = [f"{n}" for n in range(60)]
    if kind == "tar":
        tar_of(tmp_path / "bomb", [tar_special(name, tarfile.SYMTYPE, "x") for name in names])
    else:
        zip_of(tmp_path / "bomb", dict.fromkeys(names, b""))
    limits = replace(SMALL, ratio=10_000)
    assert (
        bomb_note(tmp_path, unpack, room, limits)
        == "not unpacked: more than 50 entries in the archives of this job"
    )


def test_a_header_of_a_gigabyte_is_a_bomb(tmp_path: Path, unpack: Unpack, room: Room) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    with gzip.open(tmp_path / "bomb", "wb") as file:
        file.write(info.tobuf() + bytes(1 << 20))
    limits = replace(SMALL, total_bytes=1 << 40, ratio=1 << 30)
    assert bomb_note(tmp_path, unpack, room, limits) == "not unpacked: a header of 1073741824 bytes"


def test_a_sparse_file_s_holes_count(tmp_path: Path, unpack: Unpack, room: Room) -> None:
    info = tarfile.TarInfo("holes")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:398] = b"%011o\0" % 0  # one piece at offset 0 ...
    header[398:410] = b"%011o\0" % 0  # ... of no bytes
    header[483:495] = b"%011o\0" % (1 << 32)  # and the size with its holes
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "bomb").write_bytes(bytes(header) + bytes(1024))
    assert "not unpacked: more than" in bomb_note(tmp_path, unpack, room, replace(SMALL, ratio=1 << 30))


def test_archives_in_archives_end_at_a_depth(tmp_path: Path, unpack: Unpack) -> None:
    data = MIT
    for level in range(6):
        data = zip_of(tmp_path / "a.zip", {f"{level}.zip" if level else "x": data}).read_bytes()
    entries, notes = unpack(tmp_path / "a.zip")
    assert max(entry.path.count("!/") for entry in entries) == SMALL.depth
    assert [text for _, text in notes] == ["not unpacked: archives inside archives, 3 deep"]


def test_an_inner_bomb_costs_the_outer_archive_nothing(tmp_path: Path, unpack: Unpack) -> None:
    bomb = gzip.compress(bytes(900_000))
    entries, notes = unpack(zip_of(tmp_path / "a.zip", {"a": MIT, "b.gz": bomb, "c": MIT}))
    assert set(inside(entries)) == {"a", "b.gz", "c"}
    assert [path.rpartition("!/")[2] for path, _ in notes] == ["b.gz"]


def test_a_decoder_that_asks_for_much_memory_is_refused(
    tmp_path: Path, unpack: Unpack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "XZ_MEMORY_BYTES", 1 << 20)
    (tmp_path / "a.xz").write_bytes(lzma.compress(MIT, preset=6))
    with pytest.raises(AgentError, match=r"a\.xz: damaged, .*[Mm]emory"):
        unpack(tmp_path / "a.xz")


def test_a_table_of_contents_too_big_for_memory_is_refused(
    tmp_path: Path, unpack: Unpack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "DIRECTORY_BYTES", 100)
    with pytest.raises(AgentError, match="a table of contents of"):
        unpack(zip_of(tmp_path / "a.zip", {"one": b"", "two": b"", "three": b""}))


def test_limits_are_never_more_than_half_of_what_is_free(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    huge = replace(SMALL, total_bytes=1 << 62).within(str(tmp_path))
    assert huge.total_bytes <= free.f_bavail * free.f_frsize
    assert SMALL.within(str(tmp_path)).entries == SMALL.entries
