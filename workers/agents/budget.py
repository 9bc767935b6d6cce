"""How much an archive may become: bombs end in a sentence, not in a full disk.

A bomb is small and promises much: layers of zeros, a million names, archives in archives. Whatever comes out
of an archive is counted as it comes, never as its headers promise.
"""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from typing import BinaryIO, Protocol

READ_BYTES = 16 << 20  # at once; a header that asks for more is not a header


class Bomb(Exception):
    """An archive goes beyond a limit; the message names the limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may unpack, and what one archive may hold."""

    total_bytes: int = 4 << 30  # of all archives of a job
    entries: int = 200_000  # of all archives of a job
    ratio: int = 250  # bytes out of one archive for each byte of it ...
    ratio_from_bytes: int = 32 << 20  # ... once so much has come out of it
    depth: int = 6  # archives inside archives

    def within(self, folder: str) -> Limits:
        """The same with at most half of what is free where `folder` is."""
        half = shutil.disk_usage(folder).free // 2
        return Limits(
            min(self.total_bytes, half), self.entries, self.ratio, self.ratio_from_bytes, self.depth
        )


class Budget:
    """What is left of a job's limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.bytes = 0
        self.entries = 0


class Meter:
    """One archive's draw on the budget."""

    def __init__(self, budget: Budget, archive_bytes: int) -> None:
        self._budget = budget
        self._archive_bytes = max(archive_bytes, 1)
        self._out = 0

    def member(self) -> None:
        """One more name. Raises Bomb."""
        self._budget.entries += 1
        if self._budget.entries > self._budget.limits.entries:
            raise Bomb(f"more than {self._budget.limits.entries} entries in the archives of this job")

    def out(self, count: int) -> None:
        """So many more bytes have come out. Raises Bomb."""
        limits = self._budget.limits
        self._out += count
        self._budget.bytes += count
        if self._budget.bytes > limits.total_bytes:
            raise Bomb(f"more than {limits.total_bytes} bytes in the archives of this job")
        if self._out > limits.ratio_from_bytes and self._out > limits.ratio * self._archive_bytes:
            raise Bomb(f"more than {limits.ratio} times as large as the archive itself")


class Readable(Protocol):
    """All that is asked of a member's bytes."""

    def read(self, size: int = -1, /) -> bytes: ...


class Counted:
    """A stream whose bytes are counted as they are read."""

    def __init__(self, stream: Readable, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    def read(self, size: int = -1, /) -> bytes:
        """Raises Bomb."""
        data = self._stream.read(size)
        self._meter.out(len(data))
        return data


class Metered:
    """A decompressed stream, for tarfile: what comes out is counted once, headers and skipped content too."""

    def __init__(self, stream: BinaryIO, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter
        self._counted = 0

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1, /) -> bytes:
        """Raises Bomb, also for more at once than any honest header needs."""
        if not 0 <= size <= READ_BYTES:
            raise Bomb(f"a header of {size} bytes")
        data = self._stream.read(size)
        position = self._stream.tell()
        if position > self._counted:
            self._meter.out(position - self._counted)
            self._counted = position
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Forward in steps: a compressed stream has to be read to be skipped."""
        if whence != io.SEEK_SET or offset <= self._stream.tell():
            return self._stream.seek(offset, whence)
        while (left := offset - self._stream.tell()) > 0 and self.read(min(READ_BYTES, left)):
            pass
        return self._stream.tell()
