"""Whether and when a job is tried again, by the policy of its agent type."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler_bridge.model.agents import AgentType, Retry
from scheduler_bridge.model.jobs import Ending, Outcome
from scheduler_bridge.plan.admission import ObstacleKind
from tests.builders import a_job, a_stream
from tests.contract.fleet import HOSTS, TYPES
from tests.contract.queues import Queue
from tests.contract.steps import FAILED, RETURNED, done, ended, planned, refused, running, swept

LOST = Outcome(Ending.LOST, reason="the claim is gone")


def policy(queue: Queue, attempts: int = 10, *endings: Ending, backoff: float = 0) -> None:
    """Give the agent type `license` this policy."""
    retry = Retry(attempts, frozenset(endings), backoff)
    others = [one for one in TYPES if one.name != "license"]
    queue.store.publish_configuration(
        [*others, AgentType("license", ("license",), Path(), retry=retry)], HOSTS
    )


@pytest.fixture
def job(queue: Queue) -> int:
    """A job that another one needs."""
    return planned(queue, a_stream(a_job("license"), a_job("report", needs="license")))["license"]


def test_an_agents_own_failure_is_not_tried_again_unless_asked_for(queue: Queue, job: int) -> None:
    ended(queue.store, running(queue.store, job), FAILED)
    assert queue.read(job).status == (True, True, "Failed", 2)
    assert queue.read(job + 1).endtext == "dependency failed"


def test_a_failure_that_is_tried_again_leaves_the_row_as_if_never_started(queue: Queue, job: int) -> None:
    policy(queue, 3, Ending.FAILED)
    assert ended(queue.store, running(queue.store, job), FAILED) == [[job, job + 1]]
    assert queue.read(job).status == (False, False, None, 0)
    assert queue.read(job + 1).status == (False, False, None, 0)
    assert [(one.ending, one.reason) for one in queue.ledger(job)] == [("failed", "it broke")]


def test_the_last_attempt_of_the_policy_fails_the_job_and_its_dependents(queue: Queue, job: int) -> None:
    policy(queue, 3, Ending.FAILED, Ending.LOST)
    for outcome in (FAILED, RETURNED, LOST, RETURNED):
        ended(queue.store, running(queue.store, job), outcome)
        assert queue.read(job).end is None
    ended(queue.store, running(queue.store, job), FAILED)
    assert queue.read(job).status == (True, True, "Failed", 2)
    assert queue.read(job + 1).endtext == "dependency failed"


def test_a_job_that_loses_its_worker_again_and_again_is_given_up_with_the_reason(
    queue: Queue, job: int
) -> None:
    for _ in range(9):
        running(queue.store, job)
        queue.pass_time(31)
        assert queue.store.sweep(60) == [job]
        assert queue.read(job).status == (False, False, None, 0)
    running(queue.store, job)
    queue.pass_time(31)
    assert queue.store.sweep(60) == [job]
    assert queue.read(job).status == (True, True, "Failed", 2)
    assert queue.read(job + 1).endtext == "dependency failed"
    assert queue.ledger(job)[-1].reason == "the lease of worker@h1 expired; given up after 10 attempts"


def test_a_policy_without_lost_gives_a_job_up_with_its_first_loss(queue: Queue, job: int) -> None:
    policy(queue, 10, Ending.FAILED)
    ended(queue.store, running(queue.store, job), LOST)
    assert queue.read(job).status == (True, True, "Failed", 2)


def test_each_further_attempt_waits_twice_as_long(queue: Queue, job: int) -> None:
    policy(queue, 10, Ending.FAILED, backoff=40)
    for wait in (40, 80, 160):
        assert ended(queue.store, running(queue.store, job), FAILED) == []
        kind, until = refused(queue.store, job)
        assert (kind, bool(until)) == (ObstacleKind.BACKOFF, True)
        assert swept(queue, wait - 15) == []
        assert swept(queue, 16) == [[job, job + 1]]


def test_a_paused_job_whose_attempt_failed_stays_paused(queue: Queue, job: int) -> None:
    policy(queue, 10, Ending.FAILED, backoff=5)
    work = running(queue.store, job)
    queue.change(job, endtext="Paused")
    assert ended(queue.store, work, FAILED) == []
    assert queue.read(job).endtext == "Paused"
    assert swept(queue, 61) == []


def test_a_job_that_was_killed_is_not_tried_again(queue: Queue, job: int) -> None:
    policy(queue, 10, Ending.FAILED, Ending.LOST)
    work = running(queue.store, job)
    queue.change(job, end="2026-01-01", endtext="killed", bits=2)
    ended(queue.store, work, LOST)
    assert queue.read(job).endtext == "killed"
    assert queue.ledger(job)[-1].reason == "ended from outside: killed"


def test_a_row_that_is_set_back_while_it_runs_waits_for_no_backoff_and_counts_for_nothing(
    queue: Queue, job: int
) -> None:
    policy(queue, 2, Ending.FAILED, Ending.LOST, backoff=60)
    for _ in range(3):
        work = running(queue.store, job)
        queue.change(job, start=None, endtext=None)
        assert job in ended(queue.store, work, LOST)[0], "at once"
    done(queue.store, job, FAILED)
    assert queue.read(job).status == (False, False, None, 0), "the first attempt that counts"
