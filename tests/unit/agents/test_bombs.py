"""Bombs: an archive that wants too much of anything costs a note and nothing else."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.agents.made_archives import (
    MIT,
    SMALL,
    Room,
    Unpack,
    inside,
    tar_file,
    tar_of,
    tar_special,
    unpacker_in,
    zip_of,
)
from workers.agents import archives
from workers.agents.budget import Limits
from workers.agents.helper import AgentError


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "room")


@pytest.fixture
def unpack(room: Room) -> Unpack:
    return unpacker_in(room)


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
