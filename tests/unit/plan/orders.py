"""Orders for tests: strategies that make them, and slow, obvious answers to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from itertools import permutations, product
from typing import TypeAlias

from hypothesis import strategies as st

from scheduler_bridge.model.jobs import Job
from scheduler_bridge.plan.tree import Parallel, Plan, Run, Series

Needs: TypeAlias = dict[int, frozenset[int]]
Pairs: TypeAlias = frozenset[tuple[int, int]]
STREAM = 7


def jobs_from(needs: Mapping[int, Iterable[int]]) -> list[Job]:
    """Jobs of one stream."""
    return [Job(job, STREAM, "agent", needs=frozenset(prerequisites)) for job, prerequisites in needs.items()]


def true_order(needs: Mapping[int, Set[int]]) -> Pairs:
    """All (earlier, later) pairs that the dependencies imply; in a cycle each job is earlier than itself."""
    before = {job: set(prerequisites) for job, prerequisites in needs.items()}
    for via in needs:
        for earlier in before.values():
            if via in earlier:
                earlier |= before[via]
    return frozenset((need, job) for job, earlier in before.items() for need in earlier)


def expressed_order(plan: Plan | None) -> Pairs:
    """All (earlier, later) pairs of a small plan."""
    match plan:
        case Series(parts):
            between = {
                (a, b)
                for number, part in enumerate(parts)
                for later in parts[number + 1 :]
                for a, b in product(jobs_in(part), jobs_in(later))
            }
            return frozenset(between).union(*map(expressed_order, parts))
        case Parallel(parts):
            return frozenset[tuple[int, int]]().union(*map(expressed_order, parts))
    return frozenset()


def jobs_in(plan: Plan | None) -> list[int]:
    """The jobs of a small plan, from left to right."""
    match plan:
        case Run(job):
            return [job]
        case Series(parts) | Parallel(parts):
            return [job for part in parts for job in jobs_in(part)]
    return []


def has_n(order: Pairs, jobs: Iterable[int]) -> bool:
    """Whether four jobs form an N: then there is no series-parallel form."""

    def apart(a: int, b: int) -> bool:
        return (a, b) not in order and (b, a) not in order

    return any(
        {(a, c), (a, d), (b, d)} <= order and apart(a, b) and apart(b, c) and apart(c, d)
        for a, b, c, d in permutations(jobs, 4)
    )


@st.composite
def acyclic(draw: st.DrawFn, *, most: int = 8) -> Needs:
    """Dependencies without a cycle; the numbers say nothing about the order."""
    numbers = draw(st.lists(st.integers(1, 99), unique=True, max_size=most))
    return {
        job: draw(st.frozensets(st.sampled_from(numbers[:count]))) if count else frozenset()
        for count, job in enumerate(numbers)
    }


@st.composite
def tangled(draw: st.DrawFn) -> Needs:
    """Any dependencies: cycles, jobs that need themselves, jobs that need what is not there."""
    numbers = draw(st.lists(st.integers(1, 20), unique=True, max_size=8))
    return {job: draw(st.frozensets(st.sampled_from([*numbers, 98, 99]), max_size=2)) for job in numbers}


def plans(*, most: int = 10) -> st.SearchStrategy[Plan]:
    """Plans as the planner makes them: flat, and what is side by side ordered by its smallest job."""
    shapes = st.recursive(
        st.none(),
        lambda inner: st.tuples(st.booleans(), st.lists(inner, min_size=2, max_size=4)),
        max_leaves=most,
    )
    numbers = st.permutations(range(1, 60))
    return st.builds(lambda shape, order: _plan(shape, iter(order)), shapes, numbers)


def _plan(shape: object, numbers: Iterable[int]) -> Plan:
    match shape:
        case (bool(is_series), list(inner)):
            kind = Series if is_series else Parallel
            parts: list[Plan] = []
            for part in (_plan(one, numbers) for one in inner):
                parts += part.parts if isinstance(part, kind) else [part]
            return (
                kind(tuple(parts))
                if is_series
                else kind(tuple(sorted(parts, key=lambda one: min(jobs_in(one)))))
            )
    return Run(next(iter(numbers)))


@st.composite
def planned_needs(draw: st.DrawFn) -> tuple[Plan, Needs]:
    """A plan, and dependencies that amount to its order: the necessary ones and any of the redundant ones."""
    plan = draw(plans())
    order = expressed_order(plan)
    redundant = {(a, d) for (a, b), (c, d) in product(order, order) if b == c}
    extra = draw(st.frozensets(st.sampled_from(sorted(redundant)))) if redundant else frozenset()
    pairs = (order - redundant) | extra
    jobs = draw(st.permutations(jobs_in(plan)))
    return plan, {job: frozenset(a for a, b in pairs if b == job) for job in jobs}
