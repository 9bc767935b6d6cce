"""Job numbers as text of a bounded length: they end up in columns and log lines."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

SHOWN = 10  # numbers


def listed(jobs: Collection[int], *, separator: str = ", ") -> str:
    """The numbers in the given order: all of them, or the first ten and how many there are."""
    shown = separator.join(str(job) for job in islice(jobs, SHOWN))
    return shown if len(jobs) <= SHOWN else f"{shown}{separator}... ({len(jobs):,} jobs)"
