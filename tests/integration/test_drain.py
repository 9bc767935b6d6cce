"""Hosts that are drained: they start nothing more, end what runs, and leave by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.dispatch.routes import MESSAGE_VERSION, RUN_JOB, queue_of
from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.store.listener import Listener
from scheduler_bridge.store.port import PlanRecord
from scheduler_bridge.store.postgres import PostgresStore
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import NAPPER, QUICK, announce, configuration, ended, row, started, until
from tests.toy import AGENTS as TOYS
from tests.toy import TIMERS, toy_type, toy_work
from workers.agent import Agent
from workers.offer import DRAINED
from workers.session import Session

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

HASTY = {"SCHEDULER_BRIDGE_SWEEP_SECONDS": "0.5"}
QUICK_TYPE = AgentType("quick", ("quick",), Path("/agents"))
SOON_SECONDS = 8.0  # for a worker to notice and to leave on a busy machine


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    folder = configuration(tmp_path / "conf", {"quick": QUICK, "nap": NAPPER})
    return {**HASTY, "SCHEDULER_BRIDGE_CONFIG": str(folder)}


@pytest.fixture
def bridge(start_process: Start, variables: dict[str, str]) -> Any:
    return start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)


def drain(connection: Connection, host: str = "w1", deadline: str | None = None) -> None:
    found = connection.execute("select scheduler_bridge.drain_host(%s, %s::interval)", [host, deadline])
    assert found.fetchone() == (True,)


def is_gone(connection: Connection, host: str = "w1") -> bool:
    """Whether a host has been reported as gone."""
    query = "select seen_at = '-infinity' from scheduler_bridge.host where name = %s"
    return connection.execute(query, [host]).fetchone() == (True,)


def running_nap(connection: Connection, seconds: str) -> int:
    stream = insert(connection, a_stream(a_job("nap", args=seconds)))
    announce(connection)
    started(connection, stream["nap"])
    return stream["nap"]


def test_an_idle_worker_leaves_at_once_and_says_that_its_host_is_gone(
    connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    worker = start_worker("w1", **variables)
    drain(connection)
    assert worker.container.wait(SOON_SECONDS) == 0
    assert is_gone(connection)
    assert "Traceback" not in worker.container.logs()


def test_a_draining_worker_starts_nothing_more_and_leaves_after_its_last_job(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    worker = start_worker("w1", **variables)
    running = running_nap(connection, "3")
    drain(connection)
    until(lambda: "draining" in worker.container.logs(), "the drain")
    later = insert(connection, a_stream(a_job("quick")))["quick"]
    announce(connection)
    assert worker.container.wait(3 + SOON_SECONDS) == 0
    assert row(connection, running)["jq_endtext"] == "Completed"
    assert row(connection, later)["jq_starttime"] is None
    assert is_gone(connection)
    start_worker("w1", **variables)  # a new worker ends the drain
    assert ended(connection, later) == ["Completed"]


def test_other_hosts_go_on_while_one_drains(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    first = start_worker("w1", **variables)
    running = running_nap(connection, "60")
    drain(connection)
    until(lambda: "draining" in first.container.logs(), "the drain")
    start_worker("w2", **variables)
    jobs = insert(connection, a_stream(*[a_job("quick", name=f"q{n}") for n in range(4)])).jobs
    announce(connection)
    assert ended(connection, *jobs.values()) == ["Completed"] * 4
    hosts = "select distinct host from scheduler_bridge.attempt where job <> %s"
    assert connection.execute(hosts, [running]).fetchall() == [("w2",)]
    assert row(connection, running)["jq_endtext"] == "Started"


def test_a_draining_worker_says_which_jobs_it_waits_for_and_which_of_them_are_paused(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    worker = start_worker("w1", **variables)
    paused, running = running_nap(connection, "60"), running_nap(connection, "60")
    agents = psutil.Process(worker.container.pid).children()
    assert connection.execute("select scheduler_bridge.pause_job(%s)", [paused]).fetchone() == (True,)
    until(lambda: psutil.STATUS_STOPPED in [agent.status() for agent in agents], "the agent to be paused")
    drain(connection)
    said = f"draining: waits for jobs {paused} (paused), {running}\n"
    until(lambda: said in worker.container.logs(), "the news")


def test_a_drain_with_a_deadline_returns_what_still_runs_then(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    worker = start_worker("w1", **variables)
    running = running_nap(connection, "60")
    agents = psutil.Process(worker.container.pid).children(recursive=True)
    drain(connection, deadline="1 second")
    assert worker.container.wait(1 + SOON_SECONDS) == 0
    assert not any(agent.is_running() for agent in agents)
    assert connection.execute("select ending from scheduler_bridge.attempt").fetchall() == [("returned",)]
    assert row(connection, running)["jq_starttime"] is None
    assert is_gone(connection)


def test_a_message_that_arrives_for_a_queue_just_closed_is_put_back(
    bridge: Any,
    connection: Connection,
    start_worker: Start,
    variables: dict[str, str],
    celery_setup_app: Any,
    redis_url: str,
) -> None:
    worker = start_worker("w1", **variables)
    running_nap(connection, "3")
    drain(connection)
    until(lambda: "draining" in worker.container.logs(), "the drain")
    # Redis still knows this worker as one that waits for this queue, for up to a second.
    celery_setup_app.send_task(RUN_JOB, (1, MESSAGE_VERSION), queue=queue_of("quick"), shadow="quick")
    assert worker.container.wait(3 + SOON_SECONDS) == 0
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen(queue_of("quick")) == 1
    assert "Traceback" not in worker.container.logs()


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    """The store of two hosts, of which w2 can run `quick` now."""
    store = PostgresStore(database)
    store.publish_configuration([QUICK_TYPE], [Host("w1", 1), Host("w2", 1)])
    store.register_host(Host("w2", 1), "worker@w2.1", ["quick"])
    yield store
    store.close()


@pytest.mark.parametrize("others", [True, False])
def test_a_hint_that_reaches_a_drained_host_is_handed_back_to_others_or_waits_with_its_reason(
    others: bool, store: PostgresStore, connection: Connection, celery_setup_app: Any, redis_url: str
) -> None:
    # Only now: `tasks` reads the settings, which the fixture has set, when it is imported.
    from tasks.host import AgentHost, Hint
    from tasks.leases import Leases
    from tasks.surroundings import Surroundings

    job = insert(connection, a_stream(a_job("quick")))["quick"]
    store.observe()
    (stream,) = store.lease_streams("test")
    store.record_plan(stream, "test", PlanRecord([job], {}, [job]))
    leases = Leases(store, "worker@w1.1", lease_seconds=30)
    proposals = Proposals(store, Publisher(celery_setup_app))
    around = Surroundings({"quick": QUICK_TYPE}, Path("/agents"), TIMERS)
    host = AgentHost(Host("w1", 1), "worker@w1.1", store, proposals, around, leases)
    host.tend(0.0, orders=False)
    if not others:
        store.retire_host("w2", "worker@w2.1")
    host.offer.close()
    assert host.run(Hint(job, None, "quick", lambda work: None)) == DRAINED
    host.tend(1.0, orders=False)
    query = "select proposed_at is not null, obstacle from scheduler_bridge.open_job where job = %s"
    assert connection.execute(query, [job]).fetchone() == ((True, None) if others else (False, "no_host"))
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen(queue_of("quick")) == int(others)


def test_a_draining_host_says_once_a_minute_what_it_waits_for(
    store: PostgresStore, celery_setup_app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # Only now: `tasks` reads the settings, which the fixture has set, when it is imported.
    from tasks.host import AgentHost
    from tasks.keeper import DRAIN_NEWS_SECONDS, Keeper
    from tasks.leases import Leases
    from tasks.queues import OpenQueues
    from tasks.surroundings import Surroundings

    leases = Leases(store, "worker@w1.1", lease_seconds=30)
    around = Surroundings({"quick": QUICK_TYPE}, Path("/agents"), TIMERS)
    proposals = Proposals(store, Publisher(celery_setup_app))
    host = AgentHost(Host("w1", 1), "worker@w1.1", store, proposals, around, leases)
    left: list[bool] = []
    queues, listener = OpenQueues("unused"), Listener("", "unused")
    keeper = Keeper(host, queues, listener, read=lambda: None, leave=lambda: left.append(True))
    agent = Agent(toy_type("slow"))
    agent.start([str(TOYS / "slow")])
    session = Session(agent, toy_work("slow"), timers=TIMERS, started=lambda pid: True)
    leases.add(toy_work("slow"), session, 0.0)
    caplog.set_level("INFO", "tasks.keeper")
    with host._under_way:
        for seconds in (0.0, 1.0, DRAIN_NEWS_SECONDS - 1, DRAIN_NEWS_SECONDS, DRAIN_NEWS_SECONDS + 1):
            keeper._drain(seconds)
    assert agent.end(0.0)
    news = [record.getMessage() for record in caplog.records if "waits for" in record.getMessage()]
    assert news == ["draining: waits for job 7"] * 2
    assert not left
