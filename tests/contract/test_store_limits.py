"""Slots of a host, the maximum of an agent type over all hosts, agent types that run alone."""

from __future__ import annotations

from typing import Any

from scheduler_bridge.model.agents import Host
from scheduler_bridge.plan.admission import ObstacleKind
from scheduler_bridge.store.memory_queue import PAUSED_AT
from tests.builders import a_job, a_stream
from tests.contract.fleet import HOSTS, TYPES, agent_type
from tests.contract.queues import Queue
from tests.contract.steps import (
    FAILED,
    RETURNED,
    claimed,
    done,
    ended,
    numbers,
    plan,
    planned,
    refused,
    running,
    swept,
)


def several(queue: Queue, agent_type: str, count: int) -> list[int]:
    """Jobs of one agent type in one stream, planned."""
    rows = (a_job(agent_type, name=f"{agent_type}{number}") for number in range(count))
    return list(planned(queue, a_stream(*rows)).jobs.values())


def one(queue: Queue, agent_type: str, **columns: Any) -> int:
    """A job in a stream of its own, planned."""
    return planned(queue, a_stream(a_job(agent_type), **columns))[agent_type]


def test_a_host_runs_as_many_agents_as_it_has_slots(queue: Queue) -> None:
    jobs = several(queue, "license", 4)
    works = [claimed(queue.store, job, "h1") for job in jobs[:2]]
    assert refused(queue.store, jobs[2], "h1") == (ObstacleKind.HOST_FULL, "h1")
    assert refused(queue.store, jobs[3], "h1") == (ObstacleKind.HOST_FULL, "h1")
    assert ended(queue.store, works[0]) == [[jobs[2]]], "one end frees one slot"
    claimed(queue.store, jobs[2], "h1")
    assert ended(queue.store, works[1], FAILED) == [[jobs[3]]]
    claimed(queue.store, jobs[3], "h1")


def test_a_job_refused_by_a_full_host_runs_on_another(queue: Queue) -> None:
    jobs = several(queue, "license", 4)
    for job in jobs[:2]:
        claimed(queue.store, job, "h1")
    elsewhere = claimed(queue.store, jobs[2], "h2")
    refused(queue.store, jobs[3], "h1")
    assert ended(queue.store, elsewhere) == [[jobs[3]]]
    claimed(queue.store, jobs[3], "h2")


def test_the_end_of_an_agent_elsewhere_does_not_free_a_job_bound_to_a_full_host(queue: Queue) -> None:
    for job in several(queue, "license", 2):
        claimed(queue.store, job, "h1")
    bound = planned(queue, a_stream(a_job("unpack", host="h1")))["unpack"]
    assert refused(queue.store, bound, "h1") == (ObstacleKind.HOST_FULL, "h1")
    assert ended(queue.store, claimed(queue.store, one(queue, "report"), "h2")) == []


def test_a_host_that_nobody_knows_has_no_limit(queue: Queue) -> None:
    for job in several(queue, "license", 9):
        claimed(queue.store, job, "unheard-of")


def test_slots_are_those_of_the_last_report(queue: Queue) -> None:
    jobs = several(queue, "license", 3)
    queue.store.register_host(Host("h1", 1), "worker@h1", ["license"])
    claimed(queue.store, jobs[0])
    refused(queue.store, jobs[1])
    queue.store.register_host(Host("h1", 2), "worker@h1", ["license"])
    claimed(queue.store, jobs[1])


def test_an_agent_types_maximum_counts_over_all_hosts(queue: Queue) -> None:
    jobs = several(queue, "double", 4)
    works = [claimed(queue.store, job, host) for job, host in zip(jobs[:2], ("h1", "h2"), strict=True)]
    assert refused(queue.store, jobs[3], "h2") == (ObstacleKind.TYPE_FULL, "double")
    assert refused(queue.store, jobs[2], "h2") == (ObstacleKind.TYPE_FULL, "double")
    done(queue.store, one(queue, "license"))
    assert queue.store.top_up() == [], "another agent type ended"
    assert ended(queue.store, works[0]) == [[jobs[2]]]
    assert ended(queue.store, claimed(queue.store, jobs[2])) == [[jobs[3]]]
    claimed(queue.store, jobs[3])


def test_the_most_urgent_of_those_that_wait_for_a_limit_goes_first(queue: Queue) -> None:
    work = claimed(queue.store, one(queue, "single"))
    plain, urgent, patient = (one(queue, "single", priority=level) for level in (0, 5, -5))
    for job in (plain, urgent, patient):
        refused(queue.store, job, "h2")
    order = []
    while lines := ended(queue.store, work):
        ((job,),) = lines
        order.append(job)
        work = claimed(queue.store, job)
    assert order == [urgent, plain, patient]


def test_an_attempt_that_was_given_back_frees_its_limits(queue: Queue) -> None:
    first, second = several(queue, "single", 2)
    work = claimed(queue.store, first)
    refused(queue.store, second)
    assert sorted(ended(queue.store, work, RETURNED)) == [[first], [second]]


def test_an_attempt_whose_worker_died_frees_its_limits_in_the_same_sweep(queue: Queue) -> None:
    first, second = several(queue, "single", 2)
    claimed(queue.store, first)
    queue.pass_time(25)
    refused(queue.store, second)
    queue.pass_time(6)
    assert queue.store.sweep(60) == [first]
    assert sorted(numbers(queue.store.top_up())) == [[first], [second]]


def test_a_limit_that_is_lifted_frees_those_that_wait(queue: Queue) -> None:
    first, second = several(queue, "single", 2)
    claimed(queue.store, first)
    refused(queue.store, second)
    queue.store.publish_configuration([agent_type("single", maximum=2)], HOSTS)
    assert swept(queue) == [[second]]
    claimed(queue.store, second)


def test_a_maximum_of_zero_runs_nothing(queue: Queue) -> None:
    job = one(queue, "single")
    queue.store.publish_configuration([agent_type("single", maximum=0)], HOSTS)
    assert refused(queue.store, job) == (ObstacleKind.TYPE_OFF, "single")


def test_nothing_starts_while_a_job_runs_that_runs_alone(queue: Queue) -> None:
    alone, others = one(queue, "alone"), several(queue, "license", 2)
    work = claimed(queue.store, alone)
    for job in others:
        assert refused(queue.store, job, "h2") == (ObstacleKind.EXCLUSIVE_RUNS, "")
    assert sorted(ended(queue.store, work)) == [[job] for job in others]
    for job in others:
        claimed(queue.store, job)


def test_two_jobs_that_run_alone_run_one_after_the_other(queue: Queue) -> None:
    first, second = several(queue, "alone", 2)
    work = claimed(queue.store, first)
    assert refused(queue.store, second, "h2") == (ObstacleKind.EXCLUSIVE_RUNS, "")
    assert ended(queue.store, work) == [[second]]
    claimed(queue.store, second)


def test_a_job_that_runs_alone_waits_for_all_others_and_goes_before_new_ones(queue: Queue) -> None:
    runners, (alone,), late = (
        several(queue, "license", 2),
        several(queue, "alone", 1),
        several(queue, "report", 3),
    )
    works = [running(queue.store, job) for job in runners]
    assert refused(queue.store, alone, "h2") == (ObstacleKind.EXCLUSIVE_WAITS, "alone")
    assert refused(queue.store, late[0], "h2") == (ObstacleKind.EXCLUSIVE_RUNS, "")
    assert ended(queue.store, works[0]) == []
    assert refused(queue.store, alone, "h2") == (ObstacleKind.EXCLUSIVE_WAITS, "alone")
    assert ended(queue.store, works[1]) == [[alone]]
    assert refused(queue.store, late[1], "h2") == (ObstacleKind.EXCLUSIVE_RUNS, ""), "it is about to start"
    work = claimed(queue.store, alone)
    assert refused(queue.store, late[2], "h2") == (ObstacleKind.EXCLUSIVE_RUNS, "")
    assert sorted(ended(queue.store, work)) == [[job] for job in late]


def test_a_job_that_runs_alone_but_does_not_come_holds_the_others_up_for_a_minute_only(queue: Queue) -> None:
    first, alone, late = (one(queue, name) for name in ("license", "alone", "report"))
    work = running(queue.store, first)
    refused(queue.store, alone, "h2")
    assert ended(queue.store, work) == [[alone]]
    refused(queue.store, late)
    queue.pass_time(61)
    other = claimed(queue.store, late)
    assert refused(queue.store, alone) == (ObstacleKind.EXCLUSIVE_WAITS, "alone")
    assert ended(queue.store, other) == [[alone]]
    claimed(queue.store, alone)


def test_a_waiting_job_that_runs_alone_and_was_ended_by_hand_holds_nobody_up(queue: Queue) -> None:
    first, alone, late = (one(queue, name) for name in ("license", "alone", "report"))
    claimed(queue.store, first)
    refused(queue.store, alone)
    refused(queue.store, late)
    queue.change(alone, bits=2)
    assert [late] in swept(queue) + swept(queue)
    claimed(queue.store, late)


def test_a_plan_does_not_wait_for_limits(queue: Queue) -> None:
    first, second = several(queue, "single", 2)
    claimed(queue.store, first)
    third = planned(queue, a_stream(a_job("single")))["single"]
    assert plan(queue.store) == []
    assert refused(queue.store, third) == (ObstacleKind.TYPE_FULL, "single")
    assert refused(queue.store, second) == (ObstacleKind.TYPE_FULL, "single")


def test_a_paused_job_that_runs_alone_holds_nobody_up(queue: Queue) -> None:
    first, alone, late, last = (one(queue, name) for name in ("license", "alone", "report", "report"))
    work = claimed(queue.store, first)
    refused(queue.store, alone, "h2")
    refused(queue.store, late, "h2")
    queue.change(alone, start=PAUSED_AT)
    assert [late] in ended(queue.store, work)
    claimed(queue.store, late, "h2")
    claimed(queue.store, last, "h2")


def test_a_job_that_runs_alone_on_a_host_that_is_gone_holds_nobody_up(queue: Queue) -> None:
    (alone,) = planned(queue, a_stream(a_job("alone", host="h2"))).jobs.values()
    first, late = one(queue, "license"), one(queue, "report")
    claimed(queue.store, first)
    refused(queue.store, alone, "h2")
    queue.store.retire_host("h2", "worker@h2")
    claimed(queue.store, late)


def test_a_host_that_no_worker_has_ever_been_on_goes_with_its_configuration(queue: Queue) -> None:
    queue.store.publish_configuration(TYPES, [*HOSTS, Host("h3", 4)])
    queue.store.publish_configuration(TYPES, [])
    gone = planned(queue, a_stream(a_job("license", host="h3")))["license"]
    kept = planned(queue, a_stream(a_job("license", host="h1")))["license"]
    assert queue.read(gone).endtext == "ERROR: jq_host not in the agent list!"
    claimed(queue.store, kept, "h1")
