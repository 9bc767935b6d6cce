"""The tree grows job by job, in any order that puts prerequisites first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler_bridge.plan.draft import Draft, DraftSeries
from scheduler_bridge.plan.form import Form
from scheduler_bridge.plan.tree import Parallel, Plan, Run, Series, jobs_of
from tests.unit.plan.orders import (
    Needs,
    acyclic,
    expressed_order,
    has_n,
    jobs_in,
    planned_needs,
    true_order,
)


def grown(needs: Mapping[int, Iterable[int]]) -> Plan | None:
    """The plan of jobs that are added in the given order."""
    form = Form()
    for job, prerequisites in needs.items():
        form.add(job, prerequisites)
    return form.plan()


@st.composite
def in_some_order(draw: st.DrawFn, needs: Needs) -> Needs:
    """The same dependencies, prerequisites first, otherwise in any order."""
    found: Needs = {}
    while len(found) < len(needs):
        free = sorted(job for job in needs if job not in found and needs[job] <= found.keys())
        job = draw(st.sampled_from(free))
        found[job] = needs[job]
    return found


def with_more_jobs(needs: Needs) -> st.SearchStrategy[Needs]:
    """Up to three jobs more that need any of these."""
    more = st.lists(st.frozensets(st.sampled_from(sorted(needs)), max_size=3), max_size=3)
    return more.map(lambda added: needs | {100 + number: found for number, found in enumerate(added)})


def disturbed() -> st.SearchStrategy[Needs]:
    """An order that has a form, and a few jobs that may spoil it, in any order of adding."""
    return planned_needs().flatmap(lambda case: with_more_jobs(case[1])).flatmap(in_some_order)


def test_what_has_not_been_added_is_ignored_as_a_prerequisite() -> None:
    assert grown({1: (50,), 2: (1, 50)}) == Series((Run(1), Run(2)))


def test_a_job_that_no_place_suits_comes_after_all_that_is_before_its_prerequisite() -> None:
    plan = grown({1: (), 2: (1,), 3: (2,), 4: (2,), 5: (3, 4), 6: (3,)})
    joined = Series((Parallel((Run(3), Run(4))), Run(5)))
    assert plan == Series((Run(1), Run(2), Parallel((joined, Run(6)))))


def test_nothing_comes_to_wait_for_a_late_job_however_often_its_prerequisite_is_covered() -> None:
    plan = grown({1: (), 2: (), 3: (1, 2), 4: (), 5: (3, 4), 6: (1,)})
    inner = Series((Parallel((Run(1), Run(2))), Run(3)))
    assert plan == Parallel((Series((Parallel((inner, Run(4))), Run(5))), Run(6)))


def test_an_earlier_prerequisite_decides_when_the_place_of_the_latest_is_covered() -> None:
    plan = grown({1: (), 2: (), 3: (1, 2), 0: (), 4: (0, 1)})
    assert plan == Parallel((Series((Run(0), Run(4))), Series((Parallel((Run(1), Run(2))), Run(3)))))
    plan = grown({0: (), 1: (), 2: (), 3: (1, 2), 4: (0, 1)})
    assert plan == Parallel((Series((Run(0), Run(4))), Series((Parallel((Run(1), Run(2))), Run(3)))))


@given(planned_needs().flatmap(lambda case: st.tuples(st.just(case[0]), in_some_order(case[1]))))
def test_the_form_is_the_same_in_whatever_order_jobs_are_added(case: tuple[Plan, Needs]) -> None:
    expected, needs = case
    assert grown(needs) == expected


@given(disturbed())
@settings(max_examples=120)
def test_no_job_waits_for_one_it_does_not_need(needs: Needs) -> None:
    plan = grown(needs)
    assert sorted(jobs_in(plan)) == sorted(needs)
    assert expressed_order(plan) <= true_order(needs)


@given(acyclic(most=7).flatmap(in_some_order))
def test_every_order_without_an_n_is_found_exactly(needs: Needs) -> None:
    order = true_order(needs)
    assert has_n(order, needs) or expressed_order(grown(needs)) == order


def test_cutting_a_series_moves_the_shorter_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cut is behind the next link of a chain, so the side to move is a single job."""
    moved: list[int] = []
    take = DraftSeries.take

    def counted(series: DraftSeries, parts: list[Draft]) -> None:
        moved.append(len(parts))
        take(series, parts)

    monkeypatch.setattr(DraftSeries, "take", counted)
    size = 1_000
    chain: Needs = {job: frozenset({job - 1}) if job else frozenset() for job in range(size)}
    plan = grown(chain | {size + job: frozenset({job}) for job in range(size - 2)})
    assert sum(1 for _ in jobs_of(plan)) == 2 * size - 2
    assert len(moved) == size - 2
    assert max(moved) == 1


@pytest.mark.timeout(30)
def test_many_prerequisites_with_the_same_way_up_do_not_all_go_it() -> None:
    """A ladder of forks is joined with one more job; the next job needs all ends of the ladder, but not it."""
    rungs, last = 25_000, 90_000
    form = Form()
    form.add(0, ())
    for rung in range(1, rungs):
        form.add(rung, (rung - 1,))
        form.add(rungs + rung, (rung - 1,))
    ends = [rungs - 1, *range(rungs + 1, 2 * rungs)]
    form.add(last, ())
    form.add(last + 1, (*ends, last))
    form.add(last + 2, ends)
    plan = form.plan()
    assert isinstance(plan, Parallel)
    assert plan.parts[1] == Run(last + 2)


@pytest.mark.timeout(30)
def test_covers_within_covers_are_not_climbed_again_and_again() -> None:
    """The innermost job of joins in joins has thousands of late dependents."""
    depth = 20_000
    form = Form()
    form.add(0, ())
    for job in range(1, 2 * depth, 2):
        form.add(job, ())
        form.add(job + 1, (job - 1, job))
    for job in range(2 * depth + 1, 3 * depth):
        form.add(job, (0,))
    plan = form.plan()
    assert isinstance(plan, Parallel)
    assert len(plan.parts) == depth
