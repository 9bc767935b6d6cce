"""The wall clock of a process can be set from outside: the file CHAOS_CLOCK holds how many seconds it is off.

Python imports this module by its name at the start of every process that has this folder on PYTHONPATH. The steady
clock is left alone, as the kernel leaves it alone when somebody sets the date.
"""

from __future__ import annotations

import datetime
import mmap
import os
import struct
import time
from pathlib import Path
from typing import Any

SECONDS = struct.Struct("d")


def set_up(path: str) -> None:
    """Make this process ask the file; before any other module has kept `time.time` or `datetime.datetime`."""
    with Path(path).open("r+b") as file:
        shared = mmap.mmap(file.fileno(), SECONDS.size)
    real, real_time, real_time_ns = datetime.datetime, time.time, time.time_ns

    def offset() -> float:
        return float(SECONDS.unpack_from(shared)[0])

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

    class Shifted(real, metaclass=Kind):  # type: ignore[misc, valid-type]
        __slots__ = ()  # as large as the original, for those who know its size

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return real.now(tz) + datetime.timedelta(seconds=offset())

        @classmethod
        def utcnow(cls) -> Any:
            return real.utcnow() + datetime.timedelta(seconds=offset())

    time.time = lambda: real_time() + offset()
    time.time_ns = lambda: real_time_ns() + int(offset() * 1e9)
    datetime.datetime = Shifted  # type: ignore[misc]


if "CHAOS_CLOCK" in os.environ:
    set_up(os.environ["CHAOS_CLOCK"])
