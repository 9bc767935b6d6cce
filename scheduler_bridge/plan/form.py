"""The series-parallel form of a partial order, grown one job at a time.

An order can be written with "one after the other" and "side by side" alone exactly when no four jobs form an
N (a before c and d, b before d, and nothing else between them). The tree is then unique. This is how it is
found.

Jobs are added prerequisites first, so nothing that is there comes after a new job. What the job needs, with
all that those need, is the region below it. A part of the tree is *whole* when all of it lies in that region:
a Series when its last part is whole, a Parallel when all its branches are. Going up from a prerequisite over
whole parts, one arrives at a largest whole part, its *top*. In an order without N, the top of the latest
prerequisite alone decides:

    it is the root             the job follows it
    it lies in a Parallel      all whole branches there are gathered into one, and the job follows that
    it lies in a Series        the job goes beside the rest of that Series

Everything else the job needs is before it anyway, so redundant dependencies need no treatment.

But nothing may come to wait for the new job. A part is *covered* when it, or something around it, is not the
last of its Series; the place of a new job must not lie inside a covered part. In an order without N it never
does. Otherwise the tops of earlier prerequisites are tried, and when they all lie inside covered parts, the
job goes beside the outermost cover around the latest one: after all that is before that, which it needs, too.
So the job never waits for one it does not need. The dependencies that the place does not express are the
caller's to keep.

Cost: going up visits a few parts per prerequisite, as each whole Parallel unites two branches or more. A part
becomes covered once, outermost covers are found by path compression, and a Series is cut by moving its
shorter side. That is almost linear in jobs and dependencies, however deep the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from scheduler_bridge.plan.draft import (
    Draft,
    DraftParallel,
    DraftRun,
    DraftSeries,
    cover,
    frozen,
    outermost_cover,
)
from scheduler_bridge.plan.tree import Plan


class Form:
    """The tree while it grows."""

    def __init__(self) -> None:
        self._root: Draft | None = None
        self._runs: dict[int, DraftRun] = {}

    def add(self, job: int, needs: Iterable[int]) -> None:
        """Add a job whose prerequisites have been added; others among `needs` are ignored."""
        prerequisites = [there for need in needs if (there := self._runs.get(need))]
        run = self._runs[job] = DraftRun(job, len(self._runs))
        if self._root is None:
            self._root = run
        elif not prerequisites:
            self._put_beside(self._root, run)
        else:
            prerequisites.sort(key=attrgetter("rank"), reverse=True)
            self._place(run, prerequisites)

    def plan(self) -> Plan | None:
        """The tree as a value; None when there are no jobs. Nothing may be added afterwards."""
        self._runs.clear()
        return None if self._root is None else frozen(self._root)

    def _place(self, run: DraftRun, latest_first: Sequence[Draft]) -> None:
        whole, branches = _whole_parts(latest_first)
        tops = (_top(part, whole) for part in latest_first)
        top = next((top for top in tops if top.within is None or top.within.cover is None), None)
        if top is None:
            covered, series = outermost_cover(latest_first[0])
            self._put_beside(self._tail(series, series.index(covered)), run)
        elif top.within is None:
            self._put_behind(top, run)
        elif isinstance(top.within, DraftParallel):
            self._put_behind(top.within.gather(branches[top.within]), run)
        else:
            self._put_beside(self._tail(top.within, top.within.index(top) + 1), run)

    def _put_behind(self, part: Draft, run: DraftRun) -> None:
        """Let the job follow the root or a branch."""
        if isinstance(part, DraftSeries):
            cover(part.parts[-1])
            part.append(run)
        else:
            cover(part)
            series = DraftSeries()
            self._replace(part, series)
            series.append(part)
            series.append(run)

    def _put_beside(self, part: Draft, run: DraftRun) -> None:
        """Put the job side by side with the root, a branch, or the last part of a Series."""
        if isinstance(part, DraftParallel):
            part.add(run)
        elif isinstance(part.within, DraftParallel):
            part.within.add(run)
        else:
            parallel = DraftParallel()
            self._replace(part, parallel)
            parallel.add(part)
            parallel.add(run)

    def _tail(self, series: DraftSeries, start: int) -> Draft:
        """Make the parts of a Series from this index on one part, which a job is put beside next."""
        parts = series.parts
        if start == 0:
            return series
        if start == len(parts) - 1:
            return parts[start]
        other = DraftSeries()
        if 2 * start < len(parts):
            self._replace(series, other)
            other.take(parts[:start])
            del parts[:start]
            other.append(series)
            return series
        other.take(parts[start:])
        del parts[start:]
        series.append(other)
        return other

    def _replace(self, old: Draft, new: Draft) -> None:
        """Put a part in the place of the root, a branch, or the last part of a Series."""
        around = new.within = old.within
        if around is None:
            self._root = new
        elif isinstance(around, DraftParallel):
            del around.parts[old]
            around.parts[new] = None
        else:
            new.place = old.place
            around.parts[-1] = new


def _whole_parts(runs: Iterable[Draft]) -> tuple[set[Draft], dict[DraftParallel, list[Draft]]]:
    """The parts that are whole below these jobs, and the whole branches of each Parallel that has any."""
    whole: set[Draft] = set()
    branches: dict[DraftParallel, list[Draft]] = {}
    reached = list(runs)
    while reached:
        part = reached.pop()
        whole.add(part)
        around = part.within
        if isinstance(around, DraftParallel):
            found = branches.setdefault(around, [])
            found.append(part)
            if len(found) == len(around.parts):
                reached.append(around)
        elif around is not None and around.parts[-1] is part:
            reached.append(around)
    return whole, branches


def _top(part: Draft, whole: set[Draft]) -> Draft:
    """The largest whole part around this one.

    The way up is taken out of `whole`, so that many prerequisites do not all go the same way. Whoever meets
    it later stops too early, but that place is no use either: the top was refused because what is around it
    is covered.
    """
    while (around := part.within) is not None and around in whole:
        whole.remove(around)
        part = around
    return part
