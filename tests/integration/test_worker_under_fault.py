"""Workers whose database falls silent, is away or comes back, and workers that are told to stop meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis
from celery import Celery

from scheduler_bridge.dispatch.application import BridgeCelery
from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.dispatch.routes import HOUSEKEEPING, LOOK_AGAIN, MESSAGE_VERSION, SWEEP
from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Work
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.store.port import PlanRecord
from scheduler_bridge.store.postgres import PostgresStore
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import NAPPER, QUICK, announce, configuration, ended, row, started, until
from tests.proxy import Proxy
from tests.toy import AGENTS as TOYS
from tests.toy import TIMERS

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

# Of the kind that stays, and dies of its first job.
DIES = """#!/bin/sh
echo OK
read -r line
exit 3
"""

TELLS_ENVIRONMENT = """#!/bin/sh
printf 'VERSION: 1\\n\\nOK\\n'
read -r line
env
echo 'BYE 0'
"""

AGENTS = {
    "quick": QUICK,
    "nap": NAPPER,
    "stubborn": (TOYS / "ignores_signals").read_text(),
    "dies": DIES,
    "tells": TELLS_ENVIRONMENT,
}
WORKER = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--loglevel=INFO", "-c", "2"]
WAITS = "waiting to start: the database cannot be reached"
LEASE_SECONDS = 2.0
GRACE_SECONDS = 1.0
HASTY = {"SCHEDULER_BRIDGE_SWEEP_SECONDS": "0.5", "SCHEDULER_BRIDGE_LEASE_SECONDS": f"{LEASE_SECONDS:g}"}
SOON_SECONDS = 4.0  # on a busy machine, for what takes a moment


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(configuration(tmp_path / "conf", AGENTS))


@pytest.fixture
def behind_proxy(
    database: str, database_proxy: Proxy, config: str, start_worker: Start
) -> Iterator[dict[str, str]]:
    """Variables of a worker that reaches its database through the proxy, which flows again when workers end."""
    yield {
        **HASTY,
        "SCHEDULER_BRIDGE_CONFIG": config,
        "SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": f"{GRACE_SECONDS:g}",
        "DATABASE_URL": database_proxy.way_to(database),
    }
    database_proxy.thaw()


@pytest.fixture
def bridge(start_process: Start, config: str) -> Any:
    variables = {**HASTY, "SCHEDULER_BRIDGE_CONFIG": config}
    return start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)


def a_running_job(connection: Connection, agent_type: str, args: str = "60", **columns: Any) -> int:
    """Insert a job and wait for its agent's first OK."""
    stream = insert(connection, a_stream(a_job(agent_type, args=args, **columns)))
    announce(connection)
    job = stream[agent_type]
    started(connection, job)
    return job


def agents_of(worker: Any) -> list[psutil.Process]:
    """The processes that a worker has started."""
    return list(psutil.Process(worker.container.pid).children(recursive=True))


def assert_gone(processes: list[psutil.Process], seconds: float = SOON_SECONDS) -> None:
    """None of them lives longer than this; one that is dead and not reaped does not live."""
    until(lambda: not any(lives(process) for process in processes), f"the end of {processes}", seconds)


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_an_agent_is_gone_before_another_worker_starts_its_job_when_the_database_falls_silent(
    bridge: Any,
    connection: Connection,
    behind_proxy: dict[str, str],
    database_proxy: Proxy,
    start_worker: Start,
    config: str,
) -> None:
    first = start_worker("w1", **behind_proxy)
    job = a_running_job(connection, "nap", "5")
    agents = agents_of(first)
    start_worker("w2", **HASTY, SCHEDULER_BRIDGE_CONFIG=config)
    database_proxy.freeze()
    assert_gone(agents, LEASE_SECONDS + SOON_SECONDS)
    gone_at = time.time()
    assert ended(connection, job) == ["Completed"]
    attempts = connection.execute(
        "select host, ending, extract(epoch from started_at)::float8 from scheduler_bridge.attempt order by epoch"
    ).fetchall()
    assert [attempt[:2] for attempt in attempts] == [("w1", "lost"), ("w2", "completed")]
    assert gone_at < attempts[1][2]
    assert first.container.logs().count("its lease is lost") == 1


def test_a_worker_goes_on_by_itself_when_a_silent_database_speaks_again(
    bridge: Any,
    connection: Connection,
    behind_proxy: dict[str, str],
    database_proxy: Proxy,
    start_worker: Start,
) -> None:
    worker = start_worker("w1", **behind_proxy)
    lost = a_running_job(connection, "nap", "3")
    agents = agents_of(worker)
    database_proxy.freeze()
    assert_gone(agents, LEASE_SECONDS + SOON_SECONDS)
    database_proxy.thaw()
    other = insert(connection, a_stream(a_job("quick")))
    announce(connection)
    assert ended(connection, lost, other["quick"]) == ["Completed", "Completed"]
    endings = "select ending from scheduler_bridge.attempt where job = %s order by epoch"
    assert connection.execute(endings, [lost]).fetchall() == [("lost",), ("completed",)]


@pytest.mark.parametrize("fault", ["freeze", "cut"])
def test_a_worker_stops_in_time_while_its_database_does_not_answer(
    fault: str,
    bridge: Any,
    connection: Connection,
    behind_proxy: dict[str, str],
    database_proxy: Proxy,
    start_worker: Start,
) -> None:
    worker = start_worker("w1", **behind_proxy)
    job = a_running_job(connection, "nap")
    agents = agents_of(worker)
    getattr(database_proxy, fault)()
    worker.container.kill("SIGTERM")
    worker.container.wait(GRACE_SECONDS + 2 * SOON_SECONDS)
    assert_gone(agents, 0.1)
    assert "Traceback" not in worker.container.logs()
    until(lambda: row(connection, job)["jq_starttime"] is None, "the job to be free again")


@pytest.mark.parametrize("fault", ["freeze", "cut"])
def test_sigquit_ends_a_worker_and_its_agents_at_once_while_its_database_does_not_answer(
    fault: str,
    bridge: Any,
    connection: Connection,
    behind_proxy: dict[str, str],
    database_proxy: Proxy,
    start_worker: Start,
) -> None:
    worker = start_worker("w1", **behind_proxy | {"SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": "30"})
    job = a_running_job(connection, "stubborn")
    agents = agents_of(worker)
    getattr(database_proxy, fault)()
    worker.container.kill("SIGQUIT")
    worker.container.wait(2 * SOON_SECONDS)
    assert_gone(agents, 0.1)
    assert "Traceback" not in worker.container.logs()
    until(lambda: row(connection, job)["jq_starttime"] is None, "the job to be free again")


@pytest.mark.parametrize("fault", ["freeze", "cut"])
def test_housekeeping_stops_in_time_while_its_database_does_not_answer(
    fault: str,
    behind_proxy: dict[str, str],
    database_proxy: Proxy,
    start_worker: Start,
    celery_setup_app: Celery,
    redis_url: str,
) -> None:
    worker = start_worker("h1", **behind_proxy, queues=HOUSEKEEPING)
    getattr(database_proxy, fault)()
    celery_setup_app.send_task(SWEEP, queue=HOUSEKEEPING)
    with redis.Redis.from_url(redis_url) as client:
        until(
            lambda: client.llen(HOUSEKEEPING) == 0,
            "a task",
        )
    worker.container.kill("SIGTERM")
    worker.container.wait(GRACE_SECONDS + 2 * SOON_SECONDS)
    assert "Traceback" not in worker.container.logs()


def test_a_stopping_worker_kills_an_agent_that_ignores_signals_and_frees_its_job(
    bridge: Any, connection: Connection, start_worker: Start, config: str
) -> None:
    variables = {
        "SCHEDULER_BRIDGE_CONFIG": config,
        "SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": f"{GRACE_SECONDS:g}",
    }
    worker = start_worker("w1", **variables)
    job = a_running_job(connection, "stubborn")
    agents = agents_of(worker)
    worker.container.kill("SIGTERM")
    assert worker.container.wait(GRACE_SECONDS + SOON_SECONDS) == 0
    assert_gone(agents, 0.1)
    assert row(connection, job)["jq_starttime"] is None
    assert connection.execute("select ending from scheduler_bridge.attempt").fetchall() == [("returned",)]


def test_agents_see_the_database_and_nothing_of_the_broker_or_the_monitor(
    bridge: Any, connection: Connection, start_worker: Start, config: str, database: str, redis_url: str
) -> None:
    secrets = {
        "FLOWER_BASIC_AUTH": "operator:secret",
        "CELERY_RESULT_BACKEND": redis_url,
        "HEROKU_REDIS_AMBER_URL": redis_url,
        "REDIS_TLS_VERIFY": "none",
        "PORT": "5555",
    }
    start_worker("w1", SCHEDULER_BRIDGE_CONFIG=config, OTHER="kept", **secrets)
    stream = insert(connection, a_stream(a_job("tells")))
    announce(connection)
    assert ended(connection, stream["tells"]) == ["Completed"]
    (tail,) = connection.execute("select tail from scheduler_bridge.output").fetchall()
    lines = bytes(tail[0]).decode().splitlines()
    assert f"DATABASE_URL={database}" in lines and "OTHER=kept" in lines
    assert f"FO_SYSCONFDIR={config}" in lines
    seen = {line.partition("=")[0] for line in lines}
    hidden = {
        "REDIS_URL",
        "SCHEDULER_BRIDGE_CONFIG",
        "SCHEDULER_BRIDGE_SLOTS",
        "SCHEDULER_BRIDGE_HOST",
        *secrets,
    }
    assert not seen & hidden
    assert not any("redis://" in line or "secret" in line for line in lines)


def test_jobs_of_an_agent_type_that_died_too_often_are_not_claimed_while_it_may_not_start(
    bridge: Any, connection: Connection, start_worker: Start, config: str
) -> None:
    start_worker("w1", slots=1, SCHEDULER_BRIDGE_CONFIG=config)
    stream = insert(connection, a_stream(*[a_job("dies", name=f"d{n}") for n in range(8)]))
    announce(connection)
    failed = "select count(*) from jobqueue where jq_endtext = 'Failed'"
    until(lambda: connection.execute(failed).fetchone() == (5,), "the deaths that spend the budget")
    offered = "select count(*) from scheduler_bridge.host_agent_type where agent_type = 'dies'"
    until(lambda: connection.execute(offered).fetchone() == (0,), "the host to say so")
    reasons = "select distinct obstacle from scheduler_bridge.open_job where obstacle is not null"
    until(lambda: connection.execute(reasons).fetchall() == [("no_host",)], "the reason of those that wait")
    other = insert(connection, a_stream(a_job("quick")))
    announce(connection)
    assert ended(connection, other["quick"]) == ["Completed"]
    endings = "select ending, count(*) from scheduler_bridge.attempt where stream = %s group by ending"
    assert connection.execute(endings, [stream.stream]).fetchall() == [("failed", 5)]


class RivalledStore(PostgresStore):
    """After its first claim another job asks for the slot, and is refused."""

    rival: int | None = None

    def claim(self, job: int, worker: str, host: str) -> Work | Obstacle:
        claimed = super().claim(job, worker, host)
        rival, self.rival = self.rival, None
        if rival is not None:
            assert super().claim(rival, worker, host) == Obstacle(ObstacleKind.HOST_FULL, host)
        return claimed


def test_who_waits_for_a_slot_gets_a_hint_when_a_job_is_returned(
    connection: Connection, database: str, celery_setup_app: BridgeCelery, config: str
) -> None:
    # Only now: `tasks` reads the settings, which the fixture has set, when it is imported.
    from tasks.host import AgentHost, Hint
    from tasks.leases import Leases
    from tasks.surroundings import Surroundings

    host = Host("w1", 1)
    missing = AgentType("missing", ("missing",), Path(config))
    store = RivalledStore(database)
    store.publish_configuration([missing], [host])
    first, second = (insert(connection, a_stream(a_job("missing")))["missing"] for _ in range(2))
    store.observe()
    for stream in store.lease_streams("test"):
        jobs = [job.job for job in store.stream_rows(stream).jobs]
        store.record_plan(stream, "test", PlanRecord(jobs, {}, jobs))
    agents = AgentHost(
        host,
        "worker@w1.1",
        store,
        Proposals(store, Publisher(celery_setup_app)),
        Surroundings({}, Path(config), TIMERS),
        Leases(store, "worker@w1.1", lease_seconds=30),
    )
    store.register_host(host, "worker@w1.1", ["missing"])
    store.rival = second
    hint = Hint(first, None, None, lambda work: None)
    assert agents.run(hint) == "returned missing is not configured on w1"
    proposed = "select job from scheduler_bridge.open_job where proposed_at is not null"
    assert connection.execute(proposed).fetchall() == [(second,)]
    store.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [("REDIS_URL", "REDIS_URL is not set"), ("SCHEDULER_BRIDGE_CONFIG", "set SCHEDULER_BRIDGE_CONFIG")],
)
def test_a_worker_without_what_it_needs_says_so_in_one_line(
    name: str, said: str, start_process: Start, config: str, tmp_path: Path
) -> None:
    variables = {"SCHEDULER_BRIDGE_CONFIG": config, "SCHEDULER_BRIDGE_STATE": str(tmp_path), name: ""}
    worker = start_process("worker", WORKER, **variables)
    assert worker.wait() == 1
    (line,) = [line for line in worker.logs().splitlines() if line.strip()]
    assert line.startswith("scheduler-bridge: ") and said in line


@pytest.mark.parametrize("fault", ["freeze", "cut"])
def test_a_worker_that_starts_without_its_database_waits_for_it(
    fault: str,
    bridge: Any,
    connection: Connection,
    behind_proxy: dict[str, str],
    database_proxy: Proxy,
    start_process: Start,
) -> None:
    getattr(database_proxy, fault)()
    worker = start_process("worker", WORKER, ready_text=WAITS, **behind_proxy)
    database_proxy.thaw()
    stream = insert(connection, a_stream(a_job("quick")))
    announce(connection)
    assert ended(connection, stream["quick"]) == ["Completed"]
    assert "Traceback" not in worker.logs()


def test_a_worker_that_waits_for_its_database_can_be_stopped(
    behind_proxy: dict[str, str], database_proxy: Proxy, start_process: Start
) -> None:
    database_proxy.cut()
    worker = start_process("worker", WORKER, ready_text=WAITS, **behind_proxy)
    worker.kill("SIGTERM")
    assert worker.wait(SOON_SECONDS) == 0
    assert worker.logs().count(WAITS) == 1 and "Traceback" not in worker.logs()


def test_a_hint_that_finds_no_database_is_given_up_with_one_line_and_repeated_by_the_sweep(
    bridge: Any,
    connection: Connection,
    behind_proxy: dict[str, str],
    database_proxy: Proxy,
    start_worker: Start,
) -> None:
    worker = start_worker("w1", **behind_proxy)
    database_proxy.cut()
    stream = insert(connection, a_stream(a_job("quick")))
    announce(connection)
    given_up = f"job {stream['quick']}: the database cannot be reached"
    until(lambda: given_up in worker.container.logs(), "the hint to be given up")
    database_proxy.thaw()
    assert ended(connection, stream["quick"]) == ["Completed"]
    assert "Traceback" not in worker.container.logs()


def test_sweeps_without_a_database_end_with_one_line_each_and_go_on_with_it(
    connection: Connection,
    behind_proxy: dict[str, str],
    database_proxy: Proxy,
    start_worker: Start,
    celery_setup_app: Celery,
) -> None:
    worker = start_worker("h1", **behind_proxy, queues=HOUSEKEEPING)
    swept = "select swept_at > '-infinity' from scheduler_bridge.progress"

    def sweep() -> None:
        celery_setup_app.send_task(SWEEP, queue=HOUSEKEEPING)

    database_proxy.cut()
    sweep()
    until(lambda: "no sweep: the database cannot be reached" in worker.container.logs(), "the first sweep")
    database_proxy.thaw()

    def swept_by_now() -> bool:  # the first look after an outage takes nothing back yet
        sweep()
        return connection.execute(swept).fetchone() == (True,)

    until(swept_by_now, "another sweep")
    database_proxy.cut()
    celery_setup_app.send_task(LOOK_AGAIN, args=(1, MESSAGE_VERSION), queue=HOUSEKEEPING)
    until(lambda: "stream 1 is left to the sweep: " in worker.container.logs(), "the look at the stream")
    assert "Traceback" not in worker.container.logs()
