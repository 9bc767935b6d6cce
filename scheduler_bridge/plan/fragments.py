"""What of a plan goes out now, in the one form that is safe to publish.

A fragment is a lone job, a line of at most 20 jobs, or a fan of lines that ends in looking again. Nothing
nests and nothing follows a fan but that look: nested chords can stop publisher and workers for good, a group
after a group runs jobs more than once, and each message of a chain carries all the links behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from scheduler_bridge.model.jobs import Job
from scheduler_bridge.plan.tree import Parallel, Plan, Run, Series

LONGEST_LINE = 20  # a first message of 7.7 kB; the total grows with the square of the length


@dataclass(frozen=True, slots=True)
class Hint:
    """One job that may be startable."""

    job: int


@dataclass(frozen=True, slots=True)
class Line:
    """Jobs of which each needs exactly the one before."""

    jobs: tuple[int, ...]  # 2 to 20


@dataclass(frozen=True, slots=True)
class Fan:
    """Lines side by side; when all have ended, the stream is looked at again."""

    lines: tuple[tuple[int, ...], ...]  # two or more, each of 1 to 20 jobs
    then: int  # stream


Fragment: TypeAlias = Hint | Line | Fan


def front(plan: Plan | None, jobs: Iterable[Job], *, window: int) -> tuple[tuple[int, ...], ...]:
    """The front of a plan made of these jobs: what waits for nothing, with the linear run behind each of it.

    At most `window` lines (a lone job counts as one) go out, first come those that the plan has first; with a
    window of 0 or less, nothing. A job at the front that waits for a cross dependency would be refused and is
    left out.
    """
    needs = {job.job: job.needs for job in jobs}
    return tuple(islice(_lines(plan, needs), max(window, 0)))


def assemble(lines: Sequence[tuple[int, ...]], stream: int) -> tuple[Fragment, ...]:
    """Lines of one stream in the form in which they are published together."""
    match tuple(lines):
        case ():
            return ()
        case ((job,),):
            return (Hint(job),)
        case (line,):
            return (Line(line),)
        case several:
            return (Fan(several, stream),)


def fragments(plan: Plan | None, jobs: Iterable[Job], *, stream: int, window: int) -> tuple[Fragment, ...]:
    """What of a stream's plan goes out now: its front, assembled."""
    return assemble(front(plan, jobs, window=window), stream)


def followers(jobs: Iterable[Job]) -> dict[int, int]:
    """Linear runs: job -> the one job among these that needs it, where that one needs nothing else.

    Going from follower to follower always comes to an end: a ring of jobs has none.
    """
    needs = {job.job: job.needs for job in jobs}
    dependents: dict[int, int] = {}
    for prerequisites in needs.values():
        for need in prerequisites:
            dependents[need] = dependents.get(need, 0) + 1
    sole = {
        need: job
        for job, prerequisites in needs.items()
        if len(prerequisites) == 1
        for need in prerequisites
        if need in needs and dependents[need] == 1
    }
    runs: dict[int, int] = {}
    for first in sole.keys() - set(sole.values()):
        job = first
        while job in sole:
            runs[job] = job = sole[job]
    return runs


def _lines(plan: Plan | None, needs: Mapping[int, Set[int]]) -> Iterator[tuple[int, ...]]:
    ahead = [] if plan is None else [plan]
    while ahead:
        match ahead.pop():
            case Run(job):
                if not needs[job]:
                    yield (job,)
            case Series((Run(job), *_) as parts):
                if not needs[job]:
                    yield _leading_run(parts, needs)
            case Series(parts):
                ahead.append(parts[0])
            case Parallel(parts):
                ahead.extend(reversed(parts))


def _leading_run(parts: Iterable[Plan], needs: Mapping[int, Set[int]]) -> tuple[int, ...]:
    line: list[int] = []
    for part in islice(parts, LONGEST_LINE):
        if not isinstance(part, Run) or (line and needs[part.job] != {line[-1]}):
            break
        line.append(part.job)
    return tuple(line)
