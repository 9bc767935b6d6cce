"""Jobs and dependencies become a plan; what it cannot express is cross, what is wrong is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.plan.faults import Cycle, Dangling
from scheduler_bridge.plan.planner import Planned, plan
from scheduler_bridge.plan.tree import Parallel, Plan, Run, Series
from tests.unit.plan.orders import (
    Needs,
    acyclic,
    expressed_order,
    has_n,
    jobs_from,
    jobs_in,
    planned_needs,
    tangled,
    true_order,
)


def plan_of(needs: Mapping[int, Iterable[int]]) -> Planned:
    return plan(jobs_from(needs))


def runs(*jobs: int) -> tuple[Run, ...]:
    return tuple(map(Run, jobs))


def test_no_jobs_give_no_plan() -> None:
    assert plan([]) == Planned(None, (), ())


def test_a_lone_job_runs() -> None:
    assert plan_of({5: ()}) == Planned(Run(5), (), ())


def test_independent_jobs_run_side_by_side_ordered_by_number() -> None:
    assert plan_of({3: (), 1: (), 2: ()}).plan == Parallel(runs(1, 2, 3))


def test_a_linear_run_is_a_series() -> None:
    assert plan_of({3: {2}, 2: {9}, 9: ()}).plan == Series(runs(9, 2, 3))


def test_a_diamond_is_a_parallel_inside_a_series() -> None:
    assert plan_of({1: (), 2: {1}, 3: {1}, 4: {2, 3}}).plan == Series((Run(1), Parallel(runs(2, 3)), Run(4)))


def test_every_job_after_every_job_needs_no_row_in_between() -> None:
    assert plan_of({1: (), 2: (), 3: {1, 2}, 4: {1, 2}}).plan == Series(
        (Parallel(runs(1, 2)), Parallel(runs(3, 4)))
    )


def test_redundant_dependencies_do_not_spoil_the_form() -> None:
    needs = {1: (), 2: {1}, 3: {1, 2}, 4: {1, 3}, 5: {1, 2, 3, 4}, 6: {1}}
    assert plan_of(needs) == Planned(Series((Run(1), Parallel((Series(runs(2, 3, 4, 5)), Run(6))))), (), ())


def test_an_n_keeps_two_of_its_dependencies_and_leaves_one_to_the_row() -> None:
    planned = plan_of({1: (), 2: (), 3: {1}, 4: {1, 2}})
    assert planned == Planned(Parallel((Series(runs(1, 3)), Series(runs(2, 4)))), ((1, 4),), ())


def test_an_upload_with_two_overlapping_joins_keeps_the_larger_one_and_their_common_beginning() -> None:
    scanners = (104, 105, 106, 107, 108)
    needs = {101: (), 102: {101}, 103: {102}, **{scanner: {103} for scanner in scanners}}
    needs |= {109: {103, 106, 105, 107, 104}, 110: {106, 105, 103}}
    joined = Series((Parallel(runs(104, 105, 106, 107)), Run(109)))
    expected = Series((*runs(101, 102, 103), Parallel((joined, *runs(108, 110)))))
    assert plan_of(needs) == Planned(expected, ((105, 110), (106, 110)), ())


def test_a_dependency_on_a_job_elsewhere_is_cross() -> None:
    planned = plan(jobs_from({1: {50}, 2: {1, 51}}), {50: frozenset(), 51: frozenset({50})})
    assert planned == Planned(Series(runs(1, 2)), ((50, 1), (51, 2)), ())


def test_an_order_that_only_exists_by_way_of_another_stream_is_left_to_the_row() -> None:
    planned = plan(jobs_from({1: (), 2: {50}}), {50: frozenset({1})})
    assert planned == Planned(Parallel(runs(1, 2)), ((50, 2),), ())


def test_a_cycle_by_way_of_another_stream_is_named() -> None:
    planned = plan(jobs_from({1: {50}, 2: {1}, 3: ()}), {50: frozenset({1})})
    assert planned == Planned(Run(3), (), (Cycle((1, 50)),))


def test_a_cycle_in_another_stream_takes_along_what_needs_it() -> None:
    planned = plan(jobs_from({1: {50}, 3: ()}), {50: frozenset({51}), 51: frozenset({50})})
    assert planned == Planned(Run(3), (), (Cycle((50, 51)),))


def test_faulty_jobs_and_all_that_need_them_are_left_out() -> None:
    planned = plan_of({1: {99}, 2: {1}, 3: {2}, 4: {4}, 5: {4}, 6: ()})
    assert planned == Planned(Run(6), (), (Cycle((4,)), Dangling(1, (99,))))


@given(planned_needs())
def test_a_series_parallel_order_is_found_exactly_however_redundant(case: tuple[Plan, Needs]) -> None:
    expected, needs = case
    assert plan_of(needs) == Planned(expected, (), ())


@given(acyclic())
def test_a_plan_orders_no_two_jobs_that_the_dependencies_do_not_order(needs: Needs) -> None:
    planned = plan_of(needs)
    assert sorted(jobs_in(planned.plan)) == sorted(needs)
    assert expressed_order(planned.plan) <= true_order(needs)


@given(acyclic())
def test_cross_is_exactly_what_the_plan_does_not_express(needs: Needs) -> None:
    planned = plan_of(needs)
    expressed = expressed_order(planned.plan)
    left = [
        (need, job) for job in sorted(needs) for need in sorted(needs[job]) if (need, job) not in expressed
    ]
    assert list(planned.cross) == left


@given(acyclic(most=7))
def test_something_is_cross_only_where_an_n_forbids_a_form(needs: Needs) -> None:
    planned = plan_of(needs)
    order = true_order(needs)
    assert bool(planned.cross) == has_n(order, needs)
    assert planned.cross or expressed_order(planned.plan) == order


@given(acyclic(), st.data())
def test_jobs_elsewhere_never_change_the_order_within_the_stream(needs: Needs, data: st.DataObject) -> None:
    away = data.draw(st.frozensets(st.sampled_from(sorted(needs)))) if needs else frozenset()
    ours = {job: needs[job] for job in needs if job not in away}
    planned = plan(jobs_from(ours), {job: needs[job] for job in away})
    inside = {job: needs[job] - away for job in ours}
    expressed = expressed_order(planned.plan)
    assert sorted(jobs_in(planned.plan)) == sorted(ours)
    assert expressed <= true_order(inside)
    assert {(need, job) for job in ours for need in needs[job]} - expressed == set(planned.cross)
    assert expressed == true_order(inside) or has_n(true_order(inside), ours)


@given(tangled(), st.randoms(use_true_random=False))
def test_equal_input_in_any_order_gives_an_equal_result(needs: Needs, chance: Random) -> None:
    shuffled = list(needs)
    chance.shuffle(shuffled)
    again = {job: frozenset(sorted(needs[job], reverse=True)) for job in shuffled}
    assert plan_of(again) == plan_of(needs)
