"""The planner with many jobs, deep, wide and tangled: what is quadratic or recursive does not get through."""

from __future__ import annotations

from random import Random

from scheduler_bridge.plan.planner import Planned, plan
from scheduler_bridge.plan.tree import Parallel, Run, Series, jobs_of
from tests.unit.plan.orders import Needs, jobs_from

SIZE = 100_000
NONE = frozenset[int]()


def planned_whole(needs: Needs) -> Planned:
    """The plan of jobs that all belong in it."""
    planned = plan(jobs_from(needs))
    assert not planned.faults
    assert sum(1 for _ in jobs_of(planned.plan)) == len(needs)
    return planned


def test_a_chain_in_which_each_job_also_needs_the_first_is_one_series() -> None:
    planned = planned_whole({job: frozenset({job - 1, 0}) if job else NONE for job in range(SIZE)})
    assert isinstance(planned.plan, Series)
    assert len(planned.plan.parts) == SIZE
    assert list(jobs_of(planned.plan)) == list(range(SIZE))
    assert not planned.cross


def test_one_join_of_50_000_independent_jobs_is_exact() -> None:
    join = 50_000
    planned = planned_whole({job: frozenset(range(job)) if job == join else NONE for job in range(join + 1)})
    assert isinstance(planned.plan, Series)
    branches, last = planned.plan.parts
    assert isinstance(branches, Parallel)
    assert len(branches.parts) == join
    assert last == Run(join)
    assert not planned.cross


def test_joins_nested_50_000_deep_are_exact() -> None:
    needs: Needs = {0: NONE}
    for job in range(1, SIZE, 2):
        needs |= {job: NONE, job + 1: frozenset({job - 1, job})}
    planned = planned_whole(needs)
    assert not planned.cross
    depth, part = 0, planned.plan
    while isinstance(part, Series):
        branches, join = part.parts
        assert join == Run(SIZE - 2 * depth)
        assert isinstance(branches, Parallel)
        part, extra = branches.parts
        assert extra == Run(SIZE - 2 * depth - 1)
        depth += 1
    assert depth == SIZE // 2


def test_forks_nested_10_000_deep_are_exact() -> None:
    """Each job of a chain has one more dependent."""
    size = 20_000
    needs: Needs = {0: NONE}
    for job in range(1, size, 2):
        needs |= {job: frozenset({max(job - 2, 0)}), job + 1: frozenset({max(job - 2, 0)})}
    planned = planned_whole(needs)
    assert not planned.cross
    depth, part = 0, planned.plan
    while isinstance(part, Series):
        depth += 1
        last = part.parts[-1]
        assert isinstance(last, Parallel)
        part = last.parts[0]
    assert depth == size // 2


def test_a_random_tree_is_exact() -> None:
    chance = Random(1)
    needs = {job: frozenset({chance.randrange(job)}) if job else NONE for job in range(20_000)}
    assert not planned_whole(needs).cross


def test_a_hundred_tangled_layers_keep_a_dependency_of_almost_every_job() -> None:
    chance = Random(1)
    layer, size = 300, 30_000
    needs = {
        job: frozenset(chance.sample(range(job // layer * layer - layer, job // layer * layer), 2))
        if job >= layer
        else NONE
        for job in range(size)
    }
    planned = planned_whole(needs)
    assert 0 < len(planned.cross) < size


def test_a_long_series_that_is_cut_thousands_of_times_from_the_front_costs_no_square() -> None:
    """Each late job has only an early link of the first chain in the open; it goes beside the rest of it."""
    length = 10_000
    chain, other, late = range(length), range(length, 2 * length), range(3 * length, 4 * length - 1)
    needs: Needs = {job: frozenset({job - 1}) if job not in (0, length) else NONE for job in (*chain, *other)}
    one, two, join = 2 * length, 2 * length + 1, 2 * length + 2
    needs |= {one: frozenset({other[-1]}), two: frozenset({other[-1]}), join: frozenset({one, two})}
    needs |= {job: frozenset({one, link}) for job, link in zip(late, chain, strict=False)}
    assert len(planned_whole(needs).cross) == len(late)
