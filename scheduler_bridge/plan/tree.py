"""The order of jobs as a tree: one job, parts one after the other, parts side by side.

Trees may be as deep as a stream is long. Nothing in the bridge compares, hashes or prints one as a whole,
because the methods that dataclasses get for that are recursive; walk it with `jobs_of` or a stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Run:
    """One job."""

    job: int


@dataclass(frozen=True, slots=True)
class Series:
    """Every job of a part comes after every job of the parts before it."""

    parts: tuple[Plan, ...]  # two or more, none of them a Series

    def __post_init__(self) -> None:
        """Raise ValueError when the form is not flat."""
        _refuse_unless_flat(self.parts, Series)


@dataclass(frozen=True, slots=True)
class Parallel:
    """No job of a part has to wait for a job of another part."""

    parts: tuple[Plan, ...]  # two or more, none of them a Parallel; ordered by their smallest job

    def __post_init__(self) -> None:
        """Raise ValueError when the form is not flat."""
        _refuse_unless_flat(self.parts, Parallel)


Plan: TypeAlias = Run | Series | Parallel


def _refuse_unless_flat(parts: tuple[Plan, ...], kind: type[Series | Parallel]) -> None:
    if len(parts) < 2:
        raise ValueError(f"a {kind.__name__} has two parts or more, not {len(parts)}")
    for part in parts:
        if isinstance(part, kind):
            raise ValueError(f"a {kind.__name__} is never directly inside a {kind.__name__}")


def jobs_of(plan: Plan | None, *, mirrored: bool = False) -> Iterator[int]:
    """The jobs of a plan in an order it allows; `mirrored` visits side-by-side parts last first.

    A plan puts one job before another exactly when both walks do.
    """
    stack = [] if plan is None else [plan]
    while stack:
        part = stack.pop()
        if isinstance(part, Run):
            yield part.job
        elif mirrored and isinstance(part, Parallel):
            stack.extend(part.parts)
        else:
            stack.extend(reversed(part.parts))
