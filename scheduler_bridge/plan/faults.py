"""Dependencies that can never be satisfied: cycles, and prerequisites that do not exist.

One pass removes jobs whose prerequisites are all removed already. What remains can never start: it is part of
a cycle, needs a missing job, or needs such a job. Only these remains are searched for the culprits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import TypeAlias

from scheduler_bridge.plan.numbers import SHOWN, listed

Needs: TypeAlias = Mapping[int, Set[int]]  # job -> its prerequisites


@dataclass(frozen=True, slots=True)
class Cycle:
    """Jobs that wait for each other."""

    jobs: tuple[int, ...]  # each needs the next, the last needs the first; starts at the smallest number

    @property
    def message(self) -> str:
        """One sentence of bounded length."""
        back = f" -> {self.jobs[0]}" if len(self.jobs) <= SHOWN else ""
        return f"dependency cycle: {listed(self.jobs, separator=' -> ')}{back}"


@dataclass(frozen=True, slots=True)
class Dangling:
    """A job that needs jobs nobody knows."""

    job: int
    missing: tuple[int, ...]  # ascending

    @property
    def message(self) -> str:
        """One sentence of bounded length."""
        return f"dependency on missing job{'s' if len(self.missing) > 1 else ''} {listed(self.missing)}"


Fault: TypeAlias = Cycle | Dangling


def sound_jobs(needs: Needs) -> list[int]:
    """The jobs that can start some day, prerequisites first; those of the same depth by number."""
    dependents = _dependents(needs)
    open_needs = {job: len(prerequisites) for job, prerequisites in needs.items()}
    layer = sorted(job for job, count in open_needs.items() if not count)
    found: list[int] = []
    while layer:
        found += layer
        freed: list[int] = []
        for job in layer:
            for dependent in dependents.get(job, ()):
                open_needs[dependent] -= 1
                if not open_needs[dependent]:
                    freed.append(dependent)
        layer = sorted(freed)
    return found


def find_faults(needs: Needs, sound: Collection[int]) -> tuple[Fault, ...]:
    """Why the jobs outside `sound` can never start: cycles first, each by its smallest number."""
    if len(sound) == len(needs):
        return ()
    stuck = needs.keys() - set(sound)
    inside = {job: needs[job] & stuck for job in stuck}
    cycles = [_cycle_within(knot, inside) for knot in _knots(inside)]
    missing = {job: sorted(need for need in needs[job] if need not in needs) for job in sorted(stuck)}
    dangling = [Dangling(job, tuple(gone)) for job, gone in missing.items() if gone]
    return (*sorted(cycles, key=lambda cycle: cycle.jobs[0]), *dangling)


def _dependents(needs: Needs) -> dict[int, list[int]]:
    dependents: dict[int, list[int]] = {}
    for job, prerequisites in needs.items():
        for need in prerequisites:
            dependents.setdefault(need, []).append(job)
    return dependents


def _knots(needs: Needs) -> Iterator[set[int]]:
    """The strongly connected components that hold a cycle.

    Jobs are taken up in the reverse of the order in which a walk along the prerequisites leaves them; walking
    back along the dependents from there cannot leave the component (S. R. Kosaraju).
    """
    dependents = _dependents(needs)
    unseen = set(needs)
    for job in reversed(list(_left_behind(needs))):
        if job not in unseen:
            continue
        unseen.remove(job)
        knot, reached = {job}, [job]
        while reached:
            fresh = unseen.intersection(dependents.get(reached.pop(), ()))
            unseen -= fresh
            knot |= fresh
            reached += fresh
        if len(knot) > 1 or job in needs[job]:
            yield knot


def _left_behind(needs: Needs) -> Iterator[int]:
    """Jobs in the order in which a depth-first walk along the prerequisites is done with them."""
    unseen = dict.fromkeys(sorted(needs))
    while unseen:
        start, _ = unseen.popitem()
        path = [(start, iter(needs[start]))]
        while path:
            job, rest = path[-1]
            step = next((need for need in rest if need in unseen), None)
            if step is None:
                path.pop()
                yield job
            else:
                del unseen[step]
                path.append((step, iter(needs[step])))


def _cycle_within(knot: Set[int], needs: Needs) -> Cycle:
    """A shortest cycle through the smallest job of a component, the same for equal input."""
    start = min(knot)
    came_from: dict[int, int] = {}
    layer: Iterable[int] = (start,)
    while start not in came_from:
        reached: dict[int, None] = {}
        for job in layer:
            for need in sorted(needs[job] & knot):
                if need not in came_from:
                    came_from[need] = job
                    reached[need] = None
        layer = reached
    jobs = [start]
    while (previous := came_from[jobs[-1]]) != start:
        jobs.append(previous)
    return Cycle((start, *reversed(jobs[1:])))
