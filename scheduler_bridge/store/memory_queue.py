"""The queue's tables in memory: what a foreign client finds there and does to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from threading import RLock
from typing import Any

PAUSED_AT = datetime(9999, 12, 31, tzinfo=UTC)  # start of a job that was paused before it started
FAILED_BITS = 2  # from here on the row has failed


@dataclass(slots=True)
class StreamRow:
    """A row of `job`."""

    priority: int = 0
    user: int | None = None
    group: int | None = None


@dataclass(slots=True)
class Row:
    """A row of `jobqueue` and its rows of `jobdepends`."""

    stream: int
    agent_type: str
    data: str | None = None
    arguments: str | None = None
    host: str | None = None
    needs: list[int | None] = field(default_factory=list)  # None: the dependency names no job
    start: datetime | None = None
    end: datetime | None = None
    endtext: str | None = None
    bits: int = 0
    items: int = 0
    schedinfo: str | None = None
    log: str | None = None

    @property
    def completed(self) -> bool:
        """Whether it satisfies a dependency."""
        return self.end is not None and self.bits < FAILED_BITS

    @property
    def failed(self) -> bool:
        """Whether what depends on it can never start."""
        return self.end is not None and self.bits >= FAILED_BITS

    @property
    def over(self) -> bool:
        """Whether it will not start any more."""
        return self.end is not None or self.bits >= FAILED_BITS

    @property
    def waits(self) -> bool:
        """Whether it has neither started nor ended, nor is it paused."""
        return self.start is None and self.end is None

    @property
    def paused(self) -> bool:
        """Whether it was paused before it started."""
        return self.start is not None and self.start >= PAUSED_AT


class MemoryQueue:
    """The rows; `lock` makes several steps one."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.streams: dict[int, StreamRow] = {}
        self.rows: dict[int, Row] = {}
        self._stream_numbers = count(1)
        self._numbers = count(1)

    def insert_stream(self, *, priority: int = 0, user: int | None = None, group: int | None = None) -> int:
        """A job stream without jobs; its number."""
        with self.lock:
            stream = next(self._stream_numbers)
            self.streams[stream] = StreamRow(priority, user, group)
            return stream

    def draw(self) -> int:
        """A job's number before its insert, as a sequence gives it."""
        with self.lock:
            return next(self._numbers)

    def insert_job(self, row: Row, number: int | None = None) -> int:
        """A job under a number that was drawn before or is drawn now; its number."""
        with self.lock:
            job = self.draw() if number is None else number
            self.rows[job] = row
            return job

    def insert_dependency(self, job: int, needs: int | None) -> None:
        """Let `job` depend on `needs`."""
        with self.lock:
            self.rows[job].needs.append(needs)

    def delete_dependency(self, job: int, needs: int) -> None:
        """Let `job` not depend on `needs` any more."""
        with self.lock:
            self.rows[job].needs.remove(needs)

    def read(self, job: int) -> Row:
        """The row as it is now. KeyError: there is none."""
        with self.lock:
            return replace(self.rows[job])

    def change(self, job: int, **columns: Any) -> None:
        """Set fields of a row, as another scheduler or a person does."""
        with self.lock:
            self.rows[job] = replace(self.rows[job], **columns)

    def delete(self, job: int) -> None:
        """Delete a row; its dependencies and those on it go with it."""
        with self.lock:
            del self.rows[job]
            for row in self.rows.values():
                row.needs = [need for need in row.needs if need != job]
