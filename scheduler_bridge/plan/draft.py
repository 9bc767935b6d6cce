"""The mutable parts of a plan that is being grown, and what can be asked of them.

Unlike in `tree`, each part knows what it lies in, so one can go up from a job.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import TypeAlias

from scheduler_bridge.plan.tree import Parallel, Plan, Run, Series


class Draft:
    """A part: of a Series, of a Parallel, or the root."""

    __slots__ = ("cover", "frozen", "place", "smallest", "within")
    parts: Collection[Draft] = ()
    smallest: int  # job inside; like `frozen` only set by `freeze`
    frozen: Plan

    def __init__(self) -> None:
        self.within: Around | None = None  # None: the root
        self.place = 0  # in a Series: consecutive, but not always from 0
        self.cover: Draft | None = (
            None  # a part around or equal to this one that is not the last of its Series
        )

    def freeze(self) -> None:
        """Make the value of this part from the values of its parts, and let go of them."""
        raise NotImplementedError


class DraftRun(Draft):
    """One job."""

    __slots__ = ("job", "rank")

    def __init__(self, job: int, rank: int) -> None:
        super().__init__()
        self.job = job
        self.rank = rank  # how many jobs were there before it

    def freeze(self) -> None:
        self.smallest = self.job
        self.frozen = Run(self.job)


class DraftSeries(Draft):
    """Parts one after the other."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[Draft] = []

    def append(self, part: Draft) -> None:
        """Put a part behind the others."""
        part.place = self.parts[-1].place + 1 if self.parts else 0
        part.within = self
        self.parts.append(part)

    def take(self, parts: Iterable[Draft]) -> None:
        """Make an empty Series hold parts that followed each other before; their places stay."""
        self.parts.extend(parts)
        for part in self.parts:
            part.within = self

    def index(self, part: Draft) -> int:
        """Where the part is in `parts`."""
        return part.place - self.parts[0].place

    def freeze(self) -> None:
        self.smallest = min([part.smallest for part in self.parts])
        self.frozen = Series(tuple([part.frozen for part in self.parts]))
        self.parts.clear()


class DraftParallel(Draft):
    """Parts side by side, here called branches."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[Draft, None] = {}

    def add(self, branch: Draft) -> None:
        """Put a branch beside the others."""
        branch.within = self
        self.parts[branch] = None

    def gather(self, branches: Sequence[Draft]) -> Draft:
        """Make some, not all, of the branches one branch."""
        if len(branches) == 1:
            return branches[0]
        joined = DraftParallel()
        for branch in branches:
            del self.parts[branch]
            joined.add(branch)
        self.add(joined)
        return joined

    def freeze(self) -> None:
        ordered = sorted(self.parts, key=attrgetter("smallest"))
        self.smallest = ordered[0].smallest
        self.frozen = Parallel(tuple([part.frozen for part in ordered]))
        self.parts.clear()


Around: TypeAlias = DraftSeries | DraftParallel


def cover(part: Draft) -> None:
    """Note that something now comes after all of this part; each part is visited once in its life."""
    reached = [part]
    while reached:
        inner = reached.pop()
        if inner.cover is None:
            inner.cover = part
            reached.extend(inner.parts)


def outermost_cover(part: Draft) -> tuple[Draft, DraftSeries]:
    """The largest part around a covered one that is not the last of its Series, and that Series."""
    found, series = _cover_of(part)
    while series.cover is not None:
        found, series = _cover_of(series)
    while part.cover is not found:  # shorten the way for the next who asks
        part.cover, part = found, _cover_of(part)[1]
    return found, series


def _cover_of(part: Draft) -> tuple[Draft, DraftSeries]:
    found = part.cover
    assert found is not None
    series = found.within
    assert isinstance(series, DraftSeries)
    return found, series


def frozen(root: Draft) -> Plan:
    """The plan that a complete draft stands for.

    The draft is taken apart on the way: parts that refer to each other would be garbage that only the
    collector can find, and the more there is of it while the plan is made the more often it runs.
    """
    outside_in = [root]
    for part in outside_in:
        outside_in.extend(part.parts)
    while outside_in:
        part = outside_in.pop()
        part.freeze()
        part.cover = None
    return root.frozen
