"""What is in an archive, member by member. Names are only told, never used: nothing here writes anything.

Which format a file has is told by its bytes. An archive that ends too early, or is damaged, raises Damaged
behind what could be read of it; one that goes beyond the budget raises Bomb.
"""

# Names are many here and need not be text: os.path takes what the system gives.
# ruff: noqa: PTH123

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import IO, Any, BinaryIO, cast

from workers.agents.budget import Bomb, Counted, Meter, Metered, Readable

HEAD_BYTES = 512
CHUNK_BYTES = 1 << 18
DIRECTORY_BYTES = 64 << 20  # of a zip's table of contents, which is read as a whole
XZ_MEMORY_BYTES = 256 << 20  # of a decoder; the strongest preset needs 65 MiB

try:  # in the standard library since 3.14
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]

    _open_zstd: Callable[[str], BinaryIO] | None = zstd.open
except ImportError:
    _open_zstd = None


class Damaged(Exception):
    """An archive cannot be read to its end; the message says why."""


class Format(Enum):
    """Formats by their outermost layer."""

    TAR = "tar"
    ZIP = "zip"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"
    UNSUPPORTED = "unsupported"


_MAGIC: tuple[tuple[int, bytes, Format], ...] = (
    (0, b"PK\x03\x04", Format.ZIP),
    (0, b"PK\x05\x06", Format.ZIP),
    (0, b"\x1f\x8b\x08", Format.GZIP),
    (0, b"BZh", Format.BZIP2),
    (0, b"\xfd7zXZ\0", Format.XZ),
    (0, b"\x28\xb5\x2f\xfd", Format.ZSTD if _open_zstd else Format.UNSUPPORTED),
    (257, b"ustar", Format.TAR),
    (0, b"7z\xbc\xaf\x27\x1c", Format.UNSUPPORTED),
    (0, b"Rar!\x1a\x07", Format.UNSUPPORTED),
    (0, b"\xed\xab\xee\xdb", Format.UNSUPPORTED),  # rpm
    (0, b"!<arch>\ndebian", Format.UNSUPPORTED),
    (0, b"MSCF\0\0\0\0", Format.UNSUPPORTED),
)
_SUFFIXES = {
    Format.GZIP: (".gz", ".tgz"),
    Format.BZIP2: (".bz2", ".tbz2"),
    Format.XZ: (".xz", ".txz"),
    Format.ZSTD: (".zst",),
}
_CHECKSUM = re.compile(rb"[0-7 ]{6}[\0 ]{2}")  # in a tar header
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,  # of gzip and bz2: their word for damaged
    ValueError,
    NotImplementedError,  # a method of compression
    RuntimeError,  # a password is needed
    struct.error,
    UnicodeError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One name in an archive that is no folder."""

    name: str
    stream: Readable | None = None  # None: nothing to read
    kind: str = "file"  # file, link, special
    problem: str = ""  # why a file has nothing to read


def sniff(head: bytes) -> Format | None:
    """The format of a file that begins with `head`; None: no archive."""
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset) and (kind is not Format.BZIP2 or head[4:10] == b"1AY&SY"):
            return kind
    return Format.TAR if _CHECKSUM.match(head, 148) and _old_tar(head) else None


def members(path: str | bytes, kind: Format, name: str, meter: Meter) -> Iterator[Member]:
    """The members of the archive at `path`, known as `name`; each stream is valid until the next member.

    Raises Damaged and Bomb.
    """
    place = os.fsdecode(path)
    try:
        if kind is Format.ZIP:
            yield from _zip_members(place, meter)
        elif kind is Format.TAR:
            with open(place, "rb") as file:
                yield from _tar_members(Metered(file, meter), meter)
        else:
            yield from _compressed(place, kind, name, meter)
    except _BROKEN as error:
        raise Damaged(f"{kind.value}: {str(error) or type(error).__name__}") from None


def _compressed(place: str, kind: Format, name: str, meter: Meter) -> Iterator[Member]:
    with _decompressed(place, kind) as probe:
        head = probe.read(HEAD_BYTES)
    with _decompressed(place, kind) as stream:
        metered = Metered(stream, meter)
        if sniff(head) is Format.TAR:
            yield from _tar_members(metered, meter)
        else:
            meter.member()
            yield Member(_without_suffix(name, kind), metered)


def _decompressed(place: str, kind: Format) -> BinaryIO:
    if kind is Format.GZIP:
        return cast(BinaryIO, gzip.open(place))
    if kind is Format.BZIP2:
        return cast(BinaryIO, bz2.open(place))
    if kind is Format.XZ:
        return cast(BinaryIO, io.BufferedReader(_Xz(place)))
    if kind is Format.ZSTD and _open_zstd:
        return _open_zstd(place)
    raise NotImplementedError(f"format {kind.value} is not supported")


class _Xz(io.RawIOBase):
    """What lzma.open does, with a limit: a file may ask for a dictionary of 4 GiB."""

    def __init__(self, place: str) -> None:
        self._file = open(place, "rb")  # noqa: SIM115 - closed by close
        self._decoder = lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Only forward, which is all that the buffer in front of it asks for."""
        if whence != io.SEEK_SET or offset < self._position:
            raise io.UnsupportedOperation("seek backward")
        while self._position < offset and self.read(min(1 << 18, offset - self._position)):
            pass
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            source = self._next_input()
            if source is None:
                return 0
            data = self._decoder.decompress(source, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _next_input(self) -> bytes | None:
        """Bytes for the decoder, none if it has enough; None at the end of the last stream."""
        if not self._decoder.eof:
            source = self._file.read(1 << 16) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not source:
                raise EOFError("it ends too early")
            return source
        behind = (self._decoder.unused_data or self._file.read(1 << 16)).lstrip(b"\0")
        if behind:
            self._decoder = lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES)
        return behind or None

    def close(self) -> None:
        self._file.close()
        super().close()


def _without_suffix(name: str, kind: Format) -> str:
    base = name.rpartition("/")[2]
    for suffix in _SUFFIXES.get(kind, ()):
        if base.lower().endswith(suffix) and len(base) > len(suffix):
            return base[: -len(suffix)]
    return f"{base}.content"


def _old_tar(head: bytes) -> bool:
    """A header from before `ustar`: told by its checksum."""
    try:
        return bool(tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape").name)
    except tarfile.HeaderError:
        return False


def _tar_members(stream: Metered, meter: Meter) -> Iterator[Member]:
    with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:", errors="surrogateescape") as archive:
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it would keep every header it has seen
            if not info.isdir():
                meter.member()
                yield _tar_member(archive, info, meter)


def _tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo, meter: Meter) -> Member:
    if info.issym() or info.islnk():  # a hard link's content is that of an earlier member
        return Member(info.name, kind="link")
    stream = archive.extractfile(info) if info.isreg() else None
    if stream is None:
        return Member(info.name, kind="special")
    # Holes of a sparse file come out of nothing that has been counted.
    return Member(info.name, Counted(stream, meter) if info.issparse() else stream)


def _zip_members(place: str, meter: Meter) -> Iterator[Member]:
    _check_directory(place)
    with zipfile.ZipFile(place) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            meter.member()
            try:
                stream = archive.open(info)
            except _BROKEN as error:  # one member with a password, or with a method of its own
                yield Member(info.filename, problem=f"cannot be read: {error}")
                continue
            with stream:
                link = stat.S_ISLNK(info.external_attr >> 16)  # its content is only where it leads to
                yield (
                    Member(info.filename, kind="link")
                    if link
                    else Member(info.filename, Counted(stream, meter))
                )


def _check_directory(place: str) -> None:
    """Refuse a table of contents that would not fit into memory before zipfile reads it."""
    with open(place, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 65557, 0))  # the end record and the longest comment behind it
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if 0 <= end <= len(tail) - 20:
        (directory,) = struct.unpack_from("<I", tail, end + 12)
        if DIRECTORY_BYTES < directory <= size:
            raise Bomb(f"a table of contents of {directory} bytes")


def chunks(member: Member) -> Iterator[bytes]:
    """The bytes of a member, piece by piece. Raises Damaged and Bomb."""
    assert member.stream
    try:
        while chunk := member.stream.read(CHUNK_BYTES):
            yield chunk
    except _BROKEN as error:
        raise Damaged(str(error) or type(error).__name__) from None
