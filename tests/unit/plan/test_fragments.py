"""What of a plan goes out: never nested, never too long, never before its time."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.plan.fragments import (
    LONGEST_LINE,
    Fan,
    Fragment,
    Hint,
    Line,
    assemble,
    followers,
    fragments,
    front,
)
from scheduler_bridge.plan.planner import plan
from tests.unit.plan.orders import STREAM, Needs, acyclic, jobs_from, tangled, true_order


def published(
    needs: Mapping[int, frozenset[int] | set[int]], *, window: int = 300, elsewhere: Needs | None = None
) -> tuple[Fragment, ...]:
    jobs = jobs_from(needs)
    return fragments(plan(jobs, elsewhere or {}).plan, jobs, stream=STREAM, window=window)


def lines_of(found: tuple[Fragment, ...]) -> list[tuple[int, ...]]:
    """The jobs that a fragment starts one after the other."""
    lines: list[tuple[int, ...]] = []
    for fragment in found:
        match fragment:
            case Hint(job):
                lines.append((job,))
            case Line(jobs):
                lines.append(jobs)
            case Fan(several, _):
                lines.extend(several)
    return lines


def test_no_plan_publishes_nothing() -> None:
    assert fragments(None, [], stream=STREAM, window=300) == ()


def test_a_lone_job_is_a_hint() -> None:
    assert published({1: set()}) == (Hint(1),)


def test_a_linear_run_is_one_line() -> None:
    assert published({1: set(), 2: {1}, 3: {2}}) == (Line((1, 2, 3)),)


def test_a_line_ends_after_twenty_jobs() -> None:
    found = published({job: {job - 1} if job else set() for job in range(1_000)})
    assert found == (Line(tuple(range(LONGEST_LINE))),)


def test_a_line_ends_before_a_fork() -> None:
    assert published({1: set(), 2: {1}, 3: {2}, 4: {2}}) == (Line((1, 2)),)


def test_a_line_ends_before_a_job_that_needs_more_than_the_one_before() -> None:
    assert published({1: set(), 2: {1}, 3: {1, 2}}) == (Line((1, 2)),)


def test_jobs_side_by_side_are_a_fan_that_looks_at_the_stream_again() -> None:
    assert published({1: set(), 2: set(), 3: {1, 2}}) == (Fan(((1,), (2,)), STREAM),)


def test_branches_go_out_with_their_leading_linear_runs() -> None:
    needs = {1: set(), 2: {1}, 3: set(), 4: set(), 5: {3, 4}, 6: {2, 5}}
    assert published(needs) == (Fan(((1, 2), (3,), (4,)), STREAM),)


def test_no_more_lines_than_the_window_go_out() -> None:
    needs: dict[int, set[int]] = {job: set() for job in range(1, 11)}
    assert published(needs, window=3) == (Fan(((1,), (2,), (3,)), STREAM),)
    assert published(needs, window=1) == (Hint(1),)


def test_a_window_that_is_used_up_lets_nothing_out() -> None:
    assert published({1: set()}, window=0) == ()
    assert published({1: set()}, window=-4) == ()


def test_a_job_that_waits_for_a_cross_dependency_stays_and_so_does_its_line() -> None:
    assert published({1: {50}, 2: {1}, 3: set()}, elsewhere={50: frozenset()}) == (Hint(3),)


def test_a_line_ends_before_a_link_that_waits_for_a_cross_dependency() -> None:
    assert published({1: set(), 2: {1}, 3: {2, 50}}, elsewhere={50: frozenset()}) == (Line((1, 2)),)


def test_the_front_of_a_plan_10_000_deep_is_found() -> None:
    needs: dict[int, set[int]] = {0: set()}
    for job in range(1, 20_000, 2):
        needs |= {job: set(), job + 1: {job - 1, job}}
    (fan,) = published(needs, window=3)
    assert isinstance(fan, Fan)
    assert fan.lines == ((0,), (1,), (3,))


def test_lines_are_assembled_as_none_as_hint_as_line_or_as_fan() -> None:
    assert assemble([], STREAM) == ()
    assert assemble([(1,)], STREAM) == (Hint(1),)
    assert assemble([(1, 2)], STREAM) == (Line((1, 2)),)
    assert assemble([(1, 2), (3,)], STREAM) == (Fan(((1, 2), (3,)), STREAM),)


@given(acyclic(), st.integers(0, 6))
def test_nothing_nests_and_everything_is_bounded(needs: Needs, window: int) -> None:
    found = published(needs, window=window)
    assert len(found) <= 1
    lines = lines_of(found)
    assert len(lines) <= window
    assert all(1 <= len(line) <= LONGEST_LINE for line in lines)
    assert all(isinstance(job, int) for line in lines for job in line)
    for fragment in found:
        assert not isinstance(fragment, Line) or len(fragment.jobs) >= 2
        assert not isinstance(fragment, Fan) or (len(fragment.lines) >= 2 and fragment.then == STREAM)


@given(tangled())
def test_a_line_starts_with_a_job_that_needs_nothing_and_each_link_needs_just_the_one_before(
    needs: Needs,
) -> None:
    lines = lines_of(published(needs))
    jobs = [job for line in lines for job in line]
    assert len(jobs) == len(set(jobs))
    for line in lines:
        assert not needs[line[0]]
        assert all(needs[job] == {previous} for previous, job in pairwise(line))


@given(acyclic())
def test_every_job_that_needs_nothing_goes_out_if_the_window_allows(needs: Needs) -> None:
    jobs = jobs_from(needs)
    heads = {line[0] for line in front(plan(jobs).plan, jobs, window=100)}
    assert heads == {job for job in needs if not needs[job]}


@given(acyclic(most=12), st.integers(1, 4))
def test_looking_again_after_each_fragment_runs_every_job_once_and_in_order(
    needs: Needs, window: int
) -> None:
    ended: list[int] = []
    while len(ended) < len(needs):
        left = {job: needs[job].difference(ended) for job in needs if job not in ended}
        lines = lines_of(published(left, window=window))
        assert lines
        ended += [job for line in lines for job in line]
    assert sorted(ended) == sorted(needs)
    assert all(ended.index(a) < ended.index(b) for a, b in true_order(needs))


def test_followers_are_the_links_of_linear_runs() -> None:
    needs: dict[int, set[int]] = {1: set(), 2: {1}, 3: {2}, 4: {3}, 5: {3}, 6: {4, 5}, 7: {6}}
    assert followers(jobs_from(needs)) == {1: 2, 2: 3, 6: 7}


def test_a_prerequisite_in_another_stream_has_no_follower() -> None:
    assert followers(jobs_from({2: {50}})) == {}


def test_jobs_that_only_need_each_other_in_a_ring_have_no_follower() -> None:
    assert followers(jobs_from({1: {2}, 2: {1}, 3: {3}})) == {}


def test_a_chain_of_100_000_has_a_follower_for_all_but_the_last() -> None:
    found = followers(jobs_from({job: {job - 1} if job else set() for job in range(100_000)}))
    assert found == {job: job + 1 for job in range(99_999)}


@given(tangled())
def test_a_follower_needs_only_its_job_and_no_other_job_needs_that(needs: Needs) -> None:
    only = {
        job: after[0]
        for job in needs
        if len(after := [other for other in needs if job in needs[other]]) == 1 and needs[after[0]] == {job}
    }
    along = true_order({after: frozenset({job}) for job, after in only.items()})
    assert followers(jobs_from(needs)) == {
        job: after for job, after in only.items() if (job, job) not in along
    }
