"""The order of jobs as a tree."""

from __future__ import annotations

import pytest
from hypothesis import given

from scheduler_bridge.plan.tree import Parallel, Plan, Run, Series, jobs_of
from tests.unit.plan.orders import expressed_order, plans


def test_a_series_needs_two_parts() -> None:
    with pytest.raises(ValueError, match="a Series has two parts or more, not 1"):
        Series((Run(1),))


def test_a_parallel_needs_two_parts() -> None:
    with pytest.raises(ValueError, match="a Parallel has two parts or more, not 0"):
        Parallel(())


def test_a_series_is_never_directly_inside_a_series() -> None:
    with pytest.raises(ValueError, match="never directly inside"):
        Series((Series((Run(1), Run(2))), Run(3)))


def test_a_parallel_is_never_directly_inside_a_parallel() -> None:
    with pytest.raises(ValueError, match="never directly inside"):
        Parallel((Run(3), Parallel((Run(1), Run(2)))))


def test_no_plan_has_no_jobs() -> None:
    assert list(jobs_of(None)) == []


def test_jobs_are_visited_from_left_to_right() -> None:
    plan = Series((Run(1), Parallel((Series((Run(2), Run(3))), Run(4))), Run(5)))
    assert list(jobs_of(plan)) == [1, 2, 3, 4, 5]


def test_the_mirrored_walk_visits_branches_last_first_and_series_in_order() -> None:
    plan = Series((Run(1), Parallel((Series((Run(2), Run(3))), Run(4))), Run(5)))
    assert list(jobs_of(plan, mirrored=True)) == [1, 4, 2, 3, 5]


@given(plans())
def test_a_job_is_before_another_exactly_when_both_walks_say_so(plan: Plan) -> None:
    forth = list(jobs_of(plan))
    back = list(jobs_of(plan, mirrored=True))
    agreed = {
        (a, b)
        for a in forth
        for b in forth
        if forth.index(a) < forth.index(b) and back.index(a) < back.index(b)
    }
    assert agreed == expressed_order(plan)


def test_a_plan_nested_100_000_deep_can_be_walked() -> None:
    plan: Plan = Run(0)
    for job in range(1, 100_001):
        plan = Series((Run(job), plan)) if job % 2 else Parallel((Run(job), plan))
    assert sum(1 for _ in jobs_of(plan)) == 100_001
    assert sum(1 for _ in jobs_of(plan, mirrored=True)) == 100_001
