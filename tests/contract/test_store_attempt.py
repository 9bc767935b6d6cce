"""What is written about a running attempt and its end, and that only its epoch may write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduler_bridge.model.agents import Host
from scheduler_bridge.model.jobs import Ending, Outcome
from scheduler_bridge.plan.admission import ObstacleKind
from scheduler_bridge.store.memory_queue import PAUSED_AT
from scheduler_bridge.store.port import Held
from tests.builders import a_job, a_stream
from tests.contract.queues import Queue
from tests.contract.steps import (
    COMPLETED,
    FAILED,
    RETURNED,
    claimed,
    done,
    ended,
    planned,
    refused,
    running,
    swept,
)

NOW_ISH = datetime(2020, 1, 1, tzinfo=UTC)
LOST = Outcome(Ending.LOST)
QUEUED = (False, False, None, 0)
STARTED = (True, False, "Started", 0)


@pytest.fixture
def job(queue: Queue) -> int:
    """A job that may start."""
    return planned(queue, a_stream(a_job("unpack")))["unpack"]


def test_the_first_ok_marks_the_row_as_started(queue: Queue, job: int) -> None:
    assert queue.store.started(claimed(queue.store, job, "h2"), 99)
    found = queue.read(job)
    assert (found.status, found.schedinfo) == (STARTED, "localhost.99")


def test_the_first_ok_may_be_told_twice(queue: Queue, job: int) -> None:
    work = claimed(queue.store, job)
    assert queue.store.started(work, 99)
    assert queue.store.started(work, 99)
    assert not queue.store.started(work, 100), "another agent"
    assert queue.read(job).schedinfo == "localhost.99"


@pytest.mark.parametrize("columns", [{"start": PAUSED_AT}, {"end": NOW_ISH, "bits": 2}, {"start": NOW_ISH}])
def test_an_agent_does_not_start_when_the_row_is_not_free_any_more(
    queue: Queue, job: int, columns: dict[str, object]
) -> None:
    work = claimed(queue.store, job)
    queue.change(job, **columns)
    before = queue.read(job)
    assert not queue.store.started(work, 99)
    assert queue.read(job) == before


def test_an_agent_does_not_start_when_the_lease_has_moved_on(queue: Queue, job: int) -> None:
    work = claimed(queue.store, job)
    assert swept(queue, 31) == [[job]]
    assert not queue.store.started(work, 99)
    newer = claimed(queue.store, job)
    assert not queue.store.started(work, 99)
    assert queue.read(job).status == QUEUED
    assert queue.store.started(newer, 99)


def test_a_renewal_extends_the_lease_and_stores_the_count(queue: Queue, job: int) -> None:
    work = running(queue.store, job)
    for items in (3, 9):
        queue.pass_time(29)
        assert set(queue.store.renew("worker@h1", [Held(job, work.epoch, items)])) == {job}
        assert queue.store.sweep(60) == []
        assert queue.read(job).items == items


def test_a_count_is_not_stored_before_the_agent_has_started(queue: Queue, job: int) -> None:
    work = claimed(queue.store, job)
    assert set(queue.store.renew("worker@h1", [Held(job, work.epoch, 5)])) == {job}
    assert queue.read(job).items == 0


def test_a_renewal_names_only_what_is_still_held(queue: Queue) -> None:
    names = [f"job{number}" for number in range(5)]
    inserted = planned(queue, a_stream(*(a_job("license", name=name) for name in names)))
    queue.store.register_host(Host("h1", 5), "worker@h1", ["license"])
    held, ended_by_hand, deleted, given_back, foreign = (
        running(queue.store, job) for job in inserted.jobs.values()
    )
    queue.change(ended_by_hand.job, end=NOW_ISH, bits=2, endtext="killed")
    queue.delete(deleted.job)
    queue.store.finish(given_back, RETURNED)
    attempts = [Held(work.job, work.epoch, 1) for work in (held, ended_by_hand, deleted, given_back)]
    wrong_epoch = Held(foreign.job, foreign.epoch + 1, 1)
    assert set(queue.store.renew("worker@h1", [*attempts, wrong_epoch])) == {held.job}
    assert set(queue.store.renew("worker@h2", [Held(held.job, held.epoch, 1)])) == set()
    assert queue.read(ended_by_hand.job).items == 0
    assert set(queue.store.renew("worker@h1", [])) == set()


def test_of_what_is_no_longer_held_the_store_tells_what_people_have_killed(queue: Queue) -> None:
    names = [f"job{number}" for number in range(5)]
    inserted = planned(queue, a_stream(*(a_job("license", name=name) for name in names)))
    queue.store.register_host(Host("h1", 5), "worker@h1", ["license"])
    _, killed, completed, given_back, late = works = [
        running(queue.store, job) for job in inserted.jobs.values()
    ]
    for work in (killed, late):
        queue.change(work.job, end=NOW_ISH, bits=2, endtext="killed by rosa")
    queue.change(completed.job, end=NOW_ISH, bits=1, endtext="Completed")
    queue.store.finish(given_back, RETURNED)
    attempts = [Held(work.job, work.epoch, 0) for work in works if work is not late]
    assert queue.store.killed([*attempts, Held(late.job, late.epoch - 1, 0)]) == {
        killed.job: "killed by rosa"
    }
    assert queue.store.killed([]) == {}


def test_a_lease_that_has_expired_is_renewed_if_nobody_took_the_job_back(queue: Queue, job: int) -> None:
    work = running(queue.store, job)
    queue.pass_time(31)
    assert set(queue.store.renew("worker@h1", [Held(job, work.epoch, 0)])) == {job}
    assert queue.store.sweep(60) == []


def test_output_is_kept_by_attempt(queue: Queue, job: int) -> None:
    first = running(queue.store, job)
    queue.store.keep_output({(job, first.epoch): b"begun"})
    queue.store.keep_output({(job, first.epoch): b"begun, \x00\xff"})
    ended(queue.store, first, RETURNED)
    second = running(queue.store, job)
    assert queue.store.finish(second, COMPLETED, b"all")
    assert queue.tail(job, first.epoch) == b"begun, \x00\xff"
    assert queue.tail(job, second.epoch) == b"all"


@pytest.mark.parametrize(
    ("ending", "status"),
    [(Ending.COMPLETED, (True, True, "Completed", 1)), (Ending.FAILED, (True, True, "Failed", 2))],
)
def test_an_end_is_written_with_fossologys_text_and_bits(
    queue: Queue, job: int, ending: Ending, status: tuple[bool, bool, str, int]
) -> None:
    work = running(queue.store, job)
    assert queue.store.finish(work, Outcome(ending, items=12, reason="so it was"))
    found = queue.read(job)
    assert (found.status, found.items, found.schedinfo) == (status, 12, None)
    assert [(entry.ending, entry.reason) for entry in queue.ledger(job)] == [(ending.value, "so it was")]
    assert queue.store.observe() == 0
    assert swept(queue) == []


def test_a_failure_before_the_first_ok_leaves_the_row_without_a_start(queue: Queue, job: int) -> None:
    assert queue.store.finish(claimed(queue.store, job), FAILED)
    assert queue.read(job).status == (False, True, "Failed", 2)


@pytest.mark.parametrize("ending", [Ending.RETURNED, Ending.LOST])
def test_what_did_not_end_is_free_again_as_if_never_started(queue: Queue, job: int, ending: Ending) -> None:
    work = running(queue.store, job)
    assert queue.store.finish(work, Outcome(ending, items=12))
    found = queue.read(job)
    assert (found.status, found.schedinfo) == (QUEUED, None)
    assert [entry.ending for entry in queue.ledger(job)] == [ending.value]
    done(queue.store, job)


@pytest.mark.parametrize("outcome", [COMPLETED, FAILED, RETURNED, LOST])
def test_nothing_is_written_when_the_epoch_has_moved_on(queue: Queue, job: int, outcome: Outcome) -> None:
    stale = running(queue.store, job)
    queue.store.finish(stale, Outcome(Ending.RETURNED if outcome is LOST else Ending.LOST))
    newer = running(queue.store, job, "h2")
    before = queue.read(job)
    assert not queue.store.finish(stale, outcome, b"too late")
    assert queue.read(job) == before
    assert queue.tail(job, stale.epoch) is None
    assert queue.ledger(job)[1].ending is None
    ended(queue.store, newer)


def test_an_end_may_be_told_twice(queue: Queue, job: int) -> None:
    work = running(queue.store, job)
    assert queue.store.finish(work, COMPLETED)
    before = queue.read(job)
    assert queue.store.finish(work, COMPLETED)
    assert not queue.store.finish(work, FAILED)
    assert queue.read(job) == before


@pytest.mark.parametrize("outcome", [COMPLETED, FAILED, RETURNED, LOST])
def test_a_row_that_somebody_else_ended_keeps_that_end(queue: Queue, job: int, outcome: Outcome) -> None:
    work = running(queue.store, job)
    queue.change(job, end=NOW_ISH, bits=2, endtext="killed by rosa")
    before = queue.read(job)
    assert ended(queue.store, work, outcome) == []
    assert queue.read(job) == before
    assert swept(queue) == []


def test_an_agent_that_completes_a_job_that_was_ended_meanwhile_has_not_ended_it(
    queue: Queue, job: int
) -> None:
    work = running(queue.store, job)
    queue.change(job, end=NOW_ISH, bits=2, endtext="killed by rosa")
    ended(queue.store, work)
    assert queue.ledger(job)[0].reason == "ended from outside: killed by rosa"


@pytest.mark.parametrize("outcome", [COMPLETED, FAILED, RETURNED, LOST])
def test_a_row_that_is_set_back_while_it_runs_runs_again(queue: Queue, job: int, outcome: Outcome) -> None:
    work = running(queue.store, job)
    queue.change(job, start=None, endtext=None)
    assert queue.store.renew("worker@h1", [Held(job, work.epoch, 1)]) == {}
    assert ended(queue.store, work, outcome) == [[job]]
    assert queue.store.finish(work, outcome), "its worker may ask again"
    assert queue.read(job).status == QUEUED
    assert queue.ledger(job)[0].ending == "returned"
    done(queue.store, job)
    assert queue.read(job).endtext == "Completed"


def test_a_killed_job_that_completes_keeps_both_bits(queue: Queue, job: int) -> None:
    work = running(queue.store, job)
    queue.change(job, bits=2)
    ended(queue.store, work)
    assert queue.read(job).status == (True, True, "Completed", 3)


def test_a_job_that_is_paused_while_it_runs_ends_as_usual(queue: Queue, job: int) -> None:
    work = running(queue.store, job)
    queue.change(job, endtext="Paused")
    assert set(queue.store.renew("worker@h1", [Held(job, work.epoch, 1)])) == {job}
    ended(queue.store, work)
    assert queue.read(job).status == (True, True, "Completed", 1)


def test_a_paused_job_that_is_given_back_stays_paused(queue: Queue, job: int) -> None:
    work = running(queue.store, job)
    queue.change(job, endtext="Paused")
    assert queue.store.renew("worker@h1", [Held(job, work.epoch, 1)])[job].paused
    assert ended(queue.store, work, RETURNED) == []
    found = queue.read(job)
    assert (found.start, found.endtext, found.schedinfo) == (PAUSED_AT, "Paused", None)
    assert refused(queue.store, job) == (ObstacleKind.PAUSED, "")


def test_a_renewal_tells_the_priority_of_the_stream(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack"), priority=3))
    work = running(queue.store, inserted["unpack"])
    attempts = [Held(work.job, work.epoch, 1)]
    assert queue.store.renew("worker@h1", attempts)[work.job].priority == 3
    queue.set_priority(inserted.stream, 7)
    assert queue.store.renew("worker@h1", attempts)[work.job].priority == 7
