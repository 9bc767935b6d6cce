"""Archives for tests, and what the unpacker makes of them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from workers.agents.budget import Limits
from workers.agents.unpacking import Entry, Unpacker

SMALL = Limits(total_bytes=1 << 20, entries=50, ratio=10, ratio_from_bytes=1 << 16, depth=3)
MIT = b"Permission is hereby granted\n"

Unpacked = tuple[list[Entry], list[tuple[str, str]]]  # entries and notes
Unpack = Callable[..., Unpacked]


class Room:
    """A folder for one test, made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    @property
    def folder(self) -> str:
        self.path.mkdir(exist_ok=True)
        return str(self.path)


def unpacker_in(room: Room) -> Unpack:
    """A function from an input to its entries and notes."""

    def run(path: Path, limits: Limits = SMALL, skip: Iterable[str] = ()) -> Unpacked:
        unpacker = Unpacker(room, limits, alive=lambda: None, skip=frozenset(skip))
        entries = list(unpacker.entries(str(path)))
        return entries, unpacker.notes

    return run


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
