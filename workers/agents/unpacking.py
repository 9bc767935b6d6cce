"""Inputs become a list of files: folders read where they are, archives written out under numbers.

What is in archives is never written under its own name: a name like `../../etc/passwd`, a link, or one name
used twice is only a row in the list. What is left out, damaged or a bomb is noted by its path and costs
nothing else.
"""

# Names are many here and need not be text: os.path takes what the system gives.
# ruff: noqa: PTH102, PTH116, PTH123

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Protocol

from workers.agents import archives
from workers.agents.archives import Damaged, Format, Member
from workers.agents.budget import Bomb, Budget, Limits, Meter
from workers.agents.helper import AgentError
from workers.agents.tree import Found, Tree, Unreadable, open_file

SMALL_BYTES = 1 << 16  # read at once and hashed from memory


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the list of files."""

    path: str  # as people know it
    place: str  # where it is; the same for what is not in an archive
    kind: str  # file, archive, link, special
    size: int
    modified_ns: int | None = None
    sha256: bytes | None = None


class Room(Protocol):
    """Somewhere to write."""

    @property
    def folder(self) -> str:
        """Ours alone; made when it is first asked for."""


class Unpacker:
    """Turns inputs into entries; `notes` collects what was left out."""

    def __init__(
        self, room: Room, limits: Limits, *, alive: Callable[[], None], skip: Container[str] = ()
    ) -> None:
        """`alive` is called all the time; folders in `skip` are left out."""
        self.notes: list[tuple[str, str]] = []
        self._room = room
        self._limits = limits
        self._budget: Budget | None = None
        self._alive = alive
        self._skip = skip
        self._archives = 0

    def entries(self, path: str) -> Iterator[Entry]:
        """Everything below or in one input. Raises AgentError when that is nothing but an error."""
        try:
            status = os.stat(path)
        except OSError as error:
            raise AgentError(f"{path}: {error.strerror}") from None
        if stat.S_ISDIR(status.st_mode):
            tree = Tree(path, self._skip)
            for found in tree:
                yield from self._found(found)
            self.notes += tree.all_notes()
        elif stat.S_ISREG(status.st_mode):
            yield from self._input(path)
        else:
            raise AgentError(f"{path}: neither a file nor a folder")

    def _input(self, path: str) -> Iterator[Entry]:
        """A file given by name: if it is an archive, something has to come out of it."""
        entries = list(self._file(os.path.realpath(path), path, depth=0))
        reason = next((text for where, text in self.notes if where == path), None)
        if len(entries) < 2 and reason:
            raise AgentError(f"{path}: {reason}")
        yield from entries

    def _found(self, found: Found) -> Iterator[Entry]:
        mode = found.status.st_mode
        if stat.S_ISREG(mode):
            yield from self._file(found.path, found.path, depth=0)
        else:
            kind = "link" if stat.S_ISLNK(mode) else "special"
            yield Entry(found.path, found.path, kind, found.status.st_size)

    def _file(self, place: str, path: str, *, depth: int) -> Iterator[Entry]:
        self._alive()
        try:
            head, digest, status = _digest(place, self._alive)
        except (Unreadable, OSError) as error:
            self.notes.append((path, str(error)))
            return
        kind = archives.sniff(head)
        yield Entry(path, place, "archive" if kind else "file", status.st_size, status.st_mtime_ns, digest)
        if kind:
            yield from self._inside(place, path, kind, depth=depth)

    def _inside(self, place: str, path: str, kind: Format, *, depth: int) -> list[Entry]:
        """What is in an archive; nothing if it is a bomb, what could be read if it is damaged."""
        if kind is Format.UNSUPPORTED or depth >= self._limits.depth:
            reason = f"archives inside archives, {depth} deep" if depth else "its format is not supported"
            self.notes.append((path, f"not unpacked: {reason}"))
            return []
        budget, folder = self._new_folder(place, depth)
        before = (budget.bytes, budget.entries)
        meter = Meter(budget, os.stat(place).st_size)
        found: list[Entry] = []
        try:
            for number, member in enumerate(archives.members(place, kind, path, meter)):
                name = f"{path}!/{member.name.removeprefix('./')}"
                found += self._member(member, f"{folder}/{number}", name, depth)
        except Bomb as error:
            shutil.rmtree(folder)
            budget.bytes, budget.entries = before
            self.notes.append((path, f"not unpacked: {error}"))
            return []
        except Damaged as error:
            self.notes.append((path, f"damaged, {len(found)} files could be read: {error}"))
        return found

    def _new_folder(self, place: str, depth: int) -> tuple[Budget, str]:
        """The job's budget, and a folder; an inner archive's is inside the outer one's and goes with it."""
        base = self._room.folder
        if self._budget is None:
            self._budget = Budget(self._limits.within(base))
        self._archives += 1
        folder = f"{place}.d" if depth else os.path.join(base, str(self._archives))
        os.mkdir(folder, 0o700)
        return self._budget, folder

    def _member(self, member: Member, place: str, path: str, depth: int) -> Iterator[Entry]:
        if member.name.startswith("/") or ".." in member.name.split("/"):
            self.notes.append((path, "its name leads out of the archive; kept under another one"))
        if member.stream is None:
            self.notes += [(path, member.problem)] if member.problem else []
            yield Entry(path, place, member.kind, 0)
            return
        try:
            with open(
                os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb"
            ) as target:
                for chunk in archives.chunks(member):
                    self._alive()
                    target.write(chunk)
        except Damaged as error:
            self.notes.append((path, f"damaged, read up to there: {error}"))
        yield from self._file(place, path, depth=depth + 1)


class _Alive:
    """A file for hashlib.file_digest that shows signs of life: a big one takes minutes."""

    def __init__(self, descriptor: int, alive: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._alive = alive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        self._alive()
        return os.readv(self._descriptor, [buffer])


def _digest(place: str, alive: Callable[[], None]) -> tuple[bytes, bytes, os.stat_result]:
    """The beginning of a file, its SHA-256 and its status."""
    descriptor, status = open_file(place)
    try:
        head = os.read(descriptor, SMALL_BYTES)
        if len(head) < SMALL_BYTES:
            return head[: archives.HEAD_BYTES], hashlib.sha256(head).digest(), status
        os.lseek(descriptor, 0, os.SEEK_SET)
        digest = hashlib.file_digest(_Alive(descriptor, alive), "sha256").digest()
        return head[: archives.HEAD_BYTES], digest, status
    finally:
        os.close(descriptor)
