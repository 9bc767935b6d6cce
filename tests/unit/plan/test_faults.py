"""Dependencies that can never be satisfied."""

from __future__ import annotations

from hypothesis import given

from scheduler_bridge.plan.faults import Cycle, Dangling, find_faults, sound_jobs
from tests.unit.plan.orders import Needs, acyclic, tangled, true_order


def faults_of(needs: Needs) -> tuple[Cycle | Dangling, ...]:
    return find_faults(needs, sound_jobs(needs))


def needing(**needs: set[int]) -> Needs:
    """`needing(j1={2})`: job 1 needs job 2."""
    return {int(job[1:]): frozenset(prerequisites) for job, prerequisites in needs.items()}


def test_jobs_come_after_their_prerequisites_and_by_number_where_they_are_equally_deep() -> None:
    assert sound_jobs(needing(j1={4}, j2={3}, j3=set(), j4=set(), j5={1})) == [3, 4, 1, 2, 5]


def test_a_job_that_needs_itself_is_a_cycle() -> None:
    assert faults_of(needing(j12={12})) == (Cycle((12,)),)
    assert Cycle((12,)).message == "dependency cycle: 12 -> 12"


def test_a_cycle_starts_at_its_smallest_job_and_each_job_needs_the_next() -> None:
    (cycle,) = faults_of(needing(j15={12}, j12={20}, j20={15}))
    assert cycle == Cycle((12, 20, 15))
    assert cycle.message == "dependency cycle: 12 -> 20 -> 15 -> 12"


def test_entangled_cycles_are_named_once_by_a_shortest_one() -> None:
    assert faults_of(needing(j1={2, 3}, j2={3}, j3={1})) == (Cycle((1, 3)),)


def test_of_equally_short_cycles_the_one_with_smaller_numbers_is_named() -> None:
    for prerequisites in ([8, 16], [16, 8]):
        needs = {1: frozenset(prerequisites), 8: frozenset({1}), 16: frozenset({1})}
        assert faults_of(needs) == (Cycle((1, 8)),)


def test_separate_cycles_are_named_each_even_where_one_needs_the_other() -> None:
    needs = needing(j1={2}, j2={1, 3}, j3={4}, j4={3}, j5={5})
    assert faults_of(needs) == (Cycle((1, 2)), Cycle((3, 4)), Cycle((5,)))


def test_a_missing_prerequisite_is_named_with_the_job_that_needs_it() -> None:
    assert faults_of(needing(j1={99}, j2={1})) == (Dangling(1, (99,)),)
    assert Dangling(1, (99,)).message == "dependency on missing job 99"
    assert Dangling(1, (98, 99)).message == "dependency on missing jobs 98, 99"


def test_a_job_can_be_in_a_cycle_and_need_a_missing_one() -> None:
    assert faults_of(needing(j1={1, 99})) == (Cycle((1,)), Dangling(1, (99,)))


def test_a_cycle_of_ten_is_shown_in_full_and_one_of_eleven_is_not() -> None:
    assert Cycle(tuple(range(1, 11))).message.endswith(" -> 9 -> 10 -> 1")
    assert Cycle(tuple(range(1, 12))).message.endswith(" -> 9 -> 10 -> ... (11 jobs)")


def test_a_cycle_of_50_000_is_found_and_its_message_stays_short() -> None:
    size = 50_000
    (cycle,) = faults_of({job: frozenset({(job + 1) % size}) for job in range(size)})
    assert isinstance(cycle, Cycle)
    assert cycle.jobs == tuple(range(size))
    assert cycle.message.endswith("9 -> ... (50,000 jobs)")


def test_20_000_jobs_behind_a_missing_one_give_one_fault() -> None:
    assert faults_of({job: frozenset({job - 1}) for job in range(1, 20_001)}) == (Dangling(1, (0,)),)


@given(acyclic())
def test_all_jobs_of_an_order_are_sound(needs: Needs) -> None:
    found = sound_jobs(needs)
    assert sorted(found) == sorted(needs)
    assert all(found.index(need) < found.index(job) for job in needs for need in needs[job])
    assert faults_of(needs) == ()


@given(tangled())
def test_a_job_is_sound_unless_it_needs_a_missing_job_or_a_cycle_at_any_distance(needs: Needs) -> None:
    order = true_order(needs)
    bad = {job for job in needs if (job, job) in order} | ({98, 99} - needs.keys())
    unsound = {job for job in needs if job in bad or any((one, job) in order for one in bad)}
    assert set(sound_jobs(needs)) == needs.keys() - unsound


@given(tangled())
def test_each_knot_of_cycles_has_one_fault_and_each_fault_is_real(needs: Needs) -> None:
    order = true_order(needs)
    knots = {
        frozenset(other for other in needs if (job, other) in order and (other, job) in order)
        for job in needs
        if (job, job) in order
    }
    faults = faults_of(needs)
    cycles = [fault.jobs for fault in faults if isinstance(fault, Cycle)]
    assert len(cycles) == len(knots)
    for jobs in cycles:
        assert all(later in needs[job] for job, later in zip(jobs, (*jobs[1:], jobs[0]), strict=True))
        assert any(jobs[0] == min(knot) and knot.issuperset(jobs) for knot in knots)
    missing = {fault.job: set(fault.missing) for fault in faults if isinstance(fault, Dangling)}
    assert missing == {job: gone for job in needs if (gone := needs[job] - needs.keys())}


@given(tangled())
def test_faults_do_not_depend_on_the_order_of_the_input(needs: Needs) -> None:
    backwards = {job: needs[job] for job in reversed(needs)}
    assert faults_of(backwards) == faults_of(needs)
