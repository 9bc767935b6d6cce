"""Hints go where somebody can take them, and serve the most urgent job that can start."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduler_bridge.model.agents import Host
from scheduler_bridge.plan.admission import ObstacleKind
from scheduler_bridge.store.memory_queue import PAUSED_AT
from tests.builders import a_job, a_stream
from tests.contract.fleet import HOSTS, TYPES, configure
from tests.contract.queues import Queue
from tests.contract.steps import claimed, done, ended, numbers, plan, planned, refused, running, swept

DEAD = Host("h3", 2)


@pytest.fixture
def narrow(make_queue: Callable[..., Queue]) -> Queue:
    """A configured queue with a window of three and a host that never reports."""
    queue = make_queue(window=3)
    configure(queue.store)
    queue.store.publish_configuration(TYPES, [*HOSTS, DEAD])
    return queue


def served(queue: Queue, hint: int, host: str = "h1") -> int:
    """The job that a hint leads to; it goes on running."""
    return claimed(queue.store, hint, host).job


def in_order(queue: Queue, *priorities: int, agent_type: str = "license") -> list[int]:
    """A job of each priority, planned one after the other."""
    jobs = []
    for priority in priorities:
        jobs.append(planned(queue, a_stream(a_job(agent_type), priority=priority))[agent_type])
        queue.pass_time(0.01)
    return jobs


def test_jobs_for_a_host_that_is_away_leave_the_window_to_the_others(narrow: Queue) -> None:
    bound = [a_job("unpack", name=f"bound{number}", host="h3") for number in range(250)]
    inserted = narrow.insert(a_stream(*bound, a_job("license")))
    assert plan(narrow.store) == []
    assert numbers(narrow.store.top_up()) == [[inserted["license"]]]
    assert narrow.store.top_up() == []


def test_a_host_that_reports_gets_the_jobs_that_waited_for_it(narrow: Queue) -> None:
    bound = planned(narrow, a_stream(a_job("unpack", host="h3")))["unpack"]
    assert not narrow.store.register_host(HOSTS[0], "worker@h1", ["unpack"]).freed
    assert not narrow.store.register_host(DEAD, "worker@h3", ["license"]).freed
    assert narrow.store.top_up() == []
    assert narrow.store.register_host(DEAD, "worker@h3", ["unpack", "license"]).freed
    assert numbers(narrow.store.top_up()) == [[bound]]
    assert not narrow.store.register_host(DEAD, "worker@h3", ["unpack", "license"]).freed, (
        "it does not wait any more"
    )
    claimed(narrow.store, bound, "h3")


def test_a_host_without_slots_takes_nothing(narrow: Queue) -> None:
    narrow.store.register_host(Host("h3", 0), "worker@h3", ["unpack", "license"])
    planned(narrow, a_stream(a_job("unpack", host="h3")))
    assert narrow.store.top_up() == []


def test_hints_for_a_host_that_has_gone_give_their_place_to_others(narrow: Queue) -> None:
    narrow.store.register_host(DEAD, "worker@h3", ["unpack"])
    bound = [a_job("unpack", name=f"bound{number}", host="h3") for number in range(3)]
    inserted = narrow.insert(a_stream(*bound, a_job("license")))
    assert len(plan(narrow.store)) == 3
    assert narrow.store.top_up() == [], "the window is full"
    narrow.store.retire_host("h3", "worker@h3")
    assert swept(narrow, 61) == [[inserted["license"]]]


def test_before_any_host_has_reported_hints_wait_in_their_queues(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue()
    queue.store.publish_configuration(TYPES, HOSTS)
    inserted = queue.insert(a_stream(a_job("unpack", host="h2"), a_job("license")))
    assert sorted(plan(queue.store)) == [[inserted["unpack"]], [inserted["license"]]]


def test_an_agent_type_with_a_broken_configuration_keeps_its_jobs_waiting(queue: Queue) -> None:
    usable = [one for one in TYPES if one.name != "license"]
    queue.store.publish_configuration(usable, HOSTS, {"license": "license.conf:3: max is missing"})
    for host in HOSTS:
        queue.store.register_host(host, f"worker@{host.name}", [one.name for one in usable])
    job = planned(queue, a_stream(a_job("license")))["license"]
    queue.pass_time(11)
    queue.store.sweep(60)
    assert queue.store.top_up() == []
    assert queue.read(job).status == (False, False, None, 0)
    queue.store.publish_configuration(TYPES, HOSTS)
    assert queue.store.register_host(HOSTS[0], "worker@h1", ["license"]).freed
    assert numbers(queue.store.top_up()) == [[job]]


def test_a_full_agent_type_costs_few_refused_hints_and_not_one_a_job(queue: Queue) -> None:
    inserted = queue.insert(a_stream(*(a_job("single", name=f"job{number}") for number in range(150))))
    first, *rest = inserted.jobs.values()
    assert plan(queue.store) == [[first]]
    work = claimed(queue.store, first)
    hinted = numbers(queue.store.top_up())
    assert len(hinted) <= 3, "one for each hundred that are looked at"
    for (job,) in hinted:
        assert refused(queue.store, job) == (ObstacleKind.TYPE_FULL, "single")
    order = []
    while lines := ended(queue.store, work):
        ((job,),) = lines
        order.append(job)
        work = claimed(queue.store, job)
    assert order == rest


def test_jobs_behind_those_of_a_full_agent_type_start(narrow: Queue) -> None:
    rows = [a_job("single", name=f"job{number}") for number in range(40)]
    inserted = narrow.insert(a_stream(*rows, a_job("license")))
    first, *_ = plan(narrow.store)
    claimed(narrow.store, first[0])
    assert [inserted["license"]] in numbers(narrow.store.top_up())


def test_a_hint_serves_the_most_urgent_job_and_then_the_one_that_waited_longest(queue: Queue) -> None:
    hints = in_order(queue, 0, 0, 0, 5, 9)
    first, second, third, urgent, most_urgent = hints
    order = []
    for hint in hints:
        work = claimed(queue.store, hint, "h2")
        order.append(work.job)
        ended(queue.store, work)
    assert order == [most_urgent, urgent, first, second, third]


def test_an_urgent_job_of_another_agent_type_goes_first_where_the_host_can_run_it(queue: Queue) -> None:
    queue.store.register_host(HOSTS[1], "worker@h2", ["license"])
    plain, later = in_order(queue, 0, 0)
    (urgent,) = in_order(queue, 5, agent_type="report")
    assert served(queue, plain, "h2") == plain, "this host cannot run the urgent one"
    assert served(queue, later, "h1") == urgent
    assert served(queue, urgent, "h1") == later, "its own hint serves the one that gave way"


def test_an_urgent_job_bound_to_another_host_goes_before_nobody(queue: Queue) -> None:
    plain = in_order(queue, 0)[0]
    planned(queue, a_stream(a_job("license", host="h1"), priority=9))
    assert served(queue, plain, "h2") == plain


def test_an_urgent_job_that_cannot_start_goes_before_nobody(queue: Queue) -> None:
    holder = running(queue.store, in_order(queue, 0, agent_type="single")[0])
    plain, urgent = in_order(queue, 0)[0], in_order(queue, 9, agent_type="single")[0]
    assert served(queue, plain, "h2") == plain
    assert ended(queue.store, holder) == [[urgent]]


def test_the_hint_of_a_refused_job_serves_one_that_gave_way(queue: Queue) -> None:
    plain, urgent = in_order(queue, 0, 5)
    assert served(queue, plain, "h1") == urgent
    (paused,) = in_order(queue, 0)
    queue.change(paused, start=PAUSED_AT)
    assert served(queue, paused, "h2") == plain


def test_a_lost_hint_of_a_job_that_gave_way_is_sent_again(queue: Queue) -> None:
    plain, urgent = in_order(queue, 0, 5)
    assert served(queue, plain) == urgent
    assert [plain] in swept(queue, 61)
    assert done(queue.store, plain, host="h2") == []


def test_two_hints_at_once_start_two_jobs(queue: Queue) -> None:
    plain, urgent = in_order(queue, 0, 5)
    assert {served(queue, plain, "h1"), served(queue, urgent, "h2")} == {plain, urgent}
