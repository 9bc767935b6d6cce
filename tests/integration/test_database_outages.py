"""A PostgreSQL that is not there yet, or goes away and comes back, and what becomes of jobs and processes meanwhile."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import PoolTimeout

from scheduler_bridge.bridge import Bridge
from scheduler_bridge.dispatch.application import make_application
from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.dispatch.routes import HOUSEKEEPING
from scheduler_bridge.embedded import postgres
from scheduler_bridge.migrate import create_queue, migrate
from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.redis_url import redis_settings
from scheduler_bridge.servers import Server
from scheduler_bridge.service import BridgeService, Calm, is_outage
from scheduler_bridge.store.connecting import NOTICE_LOSS
from scheduler_bridge.store.listener import Listener
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.sweep import Sweep
from tests.builders import a_job, a_stream, insert
from tests.conftest import UNSAFE_BUT_FAST
from tests.integration.fleet import NAPPER, QUICK, announce, configuration, ended, started, until
from tests.proxy import in_front_of

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

CELERY = [sys.executable, "-m", "celery", "-A", "tasks"]
LIGHT = ["--loglevel=INFO", "--without-gossip", "--without-mingle", "-c", "2"]
BRIDGE = ["scheduler-bridge", "bridge"]
WAITS = "waiting to start: the database cannot be reached"
# By name: the command, and what it says while there is no database.
COMMANDS = {
    "bridge": (BRIDGE, WAITS),
    "worker": ([*CELERY, "worker", *LIGHT], WAITS),
    "housekeeping": ([*CELERY, "worker", *LIGHT, "-Q", HOUSEKEEPING, "-n", "housekeeping@%h"], " ready."),
    "beat": ([*CELERY, "beat", "--loglevel=INFO", "--pidfile="], "Starting"),
    "web": ([*CELERY, "monitor"], "the database cannot be reached"),
}
UP = ["scheduler-bridge", "up"]
MIGRATE = ["scheduler-bridge", "migrate", "--wait"]
WAITING = {"bridge": BRIDGE, "worker": COMMANDS["worker"][0], "up": UP, "migrate": MIGRATE}
AT_ONCE_SECONDS = 2.0  # on a busy machine


class Database:
    """A PostgreSQL of this test's own, with the queue's tables and our schema."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.url
        create_queue(self.url)
        migrate(self.url)

    def stop(self) -> None:
        """Every connection is closed, new ones are refused."""
        os.kill(self._server.process.pid, signal.SIGINT)
        self._server.process.wait()

    def start(self) -> None:
        """On the same data and port; returns when it answers."""
        self._server.start_again()
        until(self._answers, "the database")

    def stop_for(self, seconds: float) -> None:
        """An outage."""
        end = time.monotonic() + seconds
        self.stop()
        until(lambda: time.monotonic() >= end, "the end of the outage")
        self.start()

    def connect(self) -> Connection:
        """Each statement is committed at once."""
        return psycopg.connect(self.url, autocommit=True)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture
def own_database(tmp_path: Path) -> Iterator[Database]:
    with postgres(tmp_path / "postgres", UNSAFE_BUT_FAST) as server:
        yield Database(server)


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(configuration(tmp_path / "conf", {"nap": NAPPER, "quick": QUICK}))


@pytest.fixture
def start(own_database: Database, start_process: Start, config: str) -> Start:
    """Start one of COMMANDS on this test's database, which ends after them."""
    variables = {
        "DATABASE_URL": own_database.url,
        "SCHEDULER_BRIDGE_CONFIG": config,
        "SCHEDULER_BRIDGE_SWEEP_SECONDS": "0.5",
        "SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": "1",
        "SCHEDULER_BRIDGE_SLOTS": "2",
        "PORT": "0",
    }

    def start(name: str, ready_text: str, **more: str) -> Any:
        return start_process(name, COMMANDS[name][0], ready_text=ready_text, **variables, **more)

    return start


def fleet(start: Start, **variables: str) -> list[Any]:
    """All that runs jobs, ready."""
    ready = {"bridge": "bridge ready", "worker": " ready.", "housekeeping": " ready.", "beat": "Starting"}
    return [start(name, text, **variables) for name, text in ready.items()]


def naps(connection: Connection, *seconds: float) -> list[int]:
    """One running job for each; returns when their agents have begun."""
    streams = [insert(connection, a_stream(a_job("nap", args=f"{time}"))) for time in seconds]
    announce(connection)
    jobs = [stream["nap"] for stream in streams]
    for job in jobs:
        started(connection, job)
    return jobs


def attempts(connection: Connection, job: int) -> list[str]:
    query = "select ending from scheduler_bridge.attempt where job = %s order by epoch"
    return [ending for (ending,) in connection.execute(query, [job]).fetchall()]


def test_whatever_starts_before_the_database_begins_with_it(start: Start, own_database: Database) -> None:
    own_database.stop()
    processes = {name: start(name, said) for name, (_, said) in COMMANDS.items()}
    own_database.start()
    assert processes["bridge"].logs().count("Connection refused") == 1
    with own_database.connect() as connection:
        stream = insert(connection, a_stream(a_job("quick"), a_job("nap", needs="quick")))
        announce(connection)
        assert ended(connection, *stream.jobs.values()) == ["Completed", "Completed"]
    for name in ("bridge", "worker"):
        assert "the database can be reached" in processes[name].logs()
    assert all(process.status == "running" for process in processes.values())
    assert not any("Traceback" in process.logs() for process in processes.values())


def test_up_that_starts_before_the_database_begins_with_it(
    start_process: Start, own_database: Database, config: str
) -> None:
    own_database.stop()
    variables = {"DATABASE_URL": own_database.url, "SCHEDULER_BRIDGE_CONFIG": config, "PORT": "0"}
    up = start_process("up", UP, ready_text=WAITS, **variables)
    own_database.start()
    with own_database.connect() as connection:
        job = insert(connection, a_stream(a_job("quick")))["quick"]
        assert ended(connection, job) == ["Completed"]
    up.kill("SIGTERM")
    assert up.wait() == 0
    assert "Traceback" not in up.logs()


def test_migrate_waits_for_its_database_where_it_is_told_to(
    start_process: Start, own_database: Database
) -> None:
    own_database.stop()
    at_once = start_process("migrate", MIGRATE[:2], DATABASE_URL=own_database.url)
    waits = start_process("migrate", MIGRATE, ready_text=WAITS, DATABASE_URL=own_database.url)
    assert at_once.wait() == 1
    own_database.start()
    assert waits.wait() == 0
    assert "the schema is up to date" in waits.logs()


@pytest.mark.parametrize(
    ("name", "number", "fault"),
    [
        ("bridge", "SIGTERM", "freeze"),
        ("bridge", "SIGINT", "cut"),
        ("up", "SIGINT", "freeze"),
        ("migrate", "SIGTERM", "cut"),
        ("migrate", "SIGINT", "cut"),
    ],
)
def test_what_waits_for_its_database_ends_at_once_when_told_to(
    name: str, number: str, fault: str, database: str, start_process: Start, config: str
) -> None:
    with in_front_of(database) as proxy:
        getattr(proxy, fault)()
        variables = {"DATABASE_URL": proxy.way_to(database), "SCHEDULER_BRIDGE_CONFIG": config}
        process = start_process(name, WAITING[name], ready_text=WAITS, **variables)
        process.kill(number)
        undone = {"SIGTERM": -signal.SIGTERM, "SIGINT": 130}[number]
        assert process.wait(AT_ONCE_SECONDS) == (undone if name == "migrate" else 0)
        assert process.logs().count(WAITS) == 1 and "Traceback" not in process.logs()


WRONG: dict[str, tuple[Callable[[str], str], str]] = {
    "password": (lambda url: re.sub(":[^:@]+@", ":wrong@", url), "password authentication failed"),
    "no password": (lambda url: re.sub(":[^:@/]+@", "@", url), "no password supplied"),
    "database": (lambda url: re.sub("[^/]+$", "nowhere", url), '"nowhere" does not exist'),
    "port": (lambda url: re.sub(r":\d+/", ":70000/", url), 'invalid port number: "70000"'),
    "option": (lambda url: f"{url}?colour=red", 'invalid URI query parameter: "colour"'),
}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *(("bridge", what) for what in WRONG),
        ("worker", "no password"),
        ("up", "password"),
        ("migrate", "database"),
    ],
)
def test_what_waiting_cannot_mend_ends_a_process_at_once_with_one_line(
    name: str, what: str, database: str, start_process: Start, config: str
) -> None:
    change, said = WRONG[what]
    variables = {"DATABASE_URL": change(database), "SCHEDULER_BRIDGE_CONFIG": config}
    process = start_process(name, WAITING[name], **variables)
    assert process.wait() == 1
    assert said in process.logs() and "Traceback" not in process.logs()
    assert WAITS not in process.logs()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [(lambda url: None, "has no table"), (create_queue, "run `scheduler-bridge migrate`")],
    ids=["no queue", "no schema"],
)
def test_a_bridge_ends_at_once_where_its_tables_are_missing(
    prepare: Callable[[str], None], said: str, empty_database: str, start_process: Start, config: str
) -> None:
    prepare(empty_database)
    bridge = start_process("bridge", BRIDGE, DATABASE_URL=empty_database, SCHEDULER_BRIDGE_CONFIG=config)
    assert bridge.wait() == 1
    assert said in bridge.logs() and "Traceback" not in bridge.logs()


def test_a_result_that_comes_during_an_outage_shorter_than_the_lease_is_written_after_it(
    start: Start, own_database: Database
) -> None:
    processes = fleet(start, SCHEDULER_BRIDGE_LEASE_SECONDS="20")
    with own_database.connect() as connection:
        ends_meanwhile, runs_on = naps(connection, 1.5, 8)
    own_database.stop_for(4)
    with own_database.connect() as connection:
        assert ended(connection, ends_meanwhile, runs_on) == ["Completed"] * 2
        assert attempts(connection, ends_meanwhile) == attempts(connection, runs_on) == ["completed"]
    assert all(process.status == "running" for process in processes)


def test_an_outage_longer_than_the_lease_ends_no_process_and_jobs_go_on_by_themselves(
    start: Start, own_database: Database
) -> None:
    processes = fleet(start, SCHEDULER_BRIDGE_LEASE_SECONDS="2")
    with own_database.connect() as connection:
        (long,) = naps(connection, 6)
        behind = insert(connection, a_stream(a_job("quick", name="a", needs=long), a_job("quick", name="b")))
    own_database.stop_for(8)
    with own_database.connect() as connection:
        later = insert(connection, a_stream(a_job("quick")))
        assert ended(connection, long, *behind.jobs.values(), later["quick"]) == ["Completed"] * 4
        assert attempts(connection, long) == ["lost", "completed"]
    assert all(process.status == "running" for process in processes)
    worker = processes[1].logs()
    assert worker.count("its lease is lost") == 1 and "Traceback" not in worker


def test_a_bridge_lets_workers_write_their_results_after_an_outage_before_it_takes_leases_back(
    database: str, connection: Connection, redis_url: str
) -> None:
    with in_front_of(database) as proxy:
        store = PostgresStore(proxy.way_to(database), lease_seconds=0.01)
        work = claimed(store, connection)
        proposals = Proposals(store, Publisher(make_application(redis_settings(redis_url))))
        bridge = Bridge(store, proposals, owner="b")
        listener = Listener(proxy.way_to(database))
        sweep = Sweep(store, bridge, proposals, interval_seconds=0.05)
        service = BridgeService(bridge, sweep, listener, interval_seconds=0.05, calm=Calm(5))
        listener.wait(0)
        proxy.cut()
        stopping = threading.Event()
        running = threading.Thread(target=service.run, args=(stopping,))
        running.start()
        until(lambda: service._calm.away, "the bridge to notice")
        proxy.thaw()
        until(lambda: not service._calm.away, "the bridge to go on")
        worker = PostgresStore(database)
        assert worker.finish(work, Outcome(Ending.COMPLETED))
        worker.close()
        stopping.set()
        running.join()
        listener.close()
        store.close()
    assert attempts(connection, work.job) == ["completed"]


def test_a_bridge_whose_statements_are_cancelled_goes_on_sweeping(
    database: str, connection: Connection, redis_url: str
) -> None:
    store = PostgresStore(database)
    proposals = Proposals(store, Publisher(make_application(redis_settings(redis_url))))
    bridge = Bridge(store, proposals, owner="b")
    listener = Listener(database)
    sweep = Sweep(store, bridge, proposals, interval_seconds=0.05)

    def beside() -> None:
        with psycopg.connect(database) as cancelled:
            cancelled.execute("set statement_timeout = 1")
            cancelled.execute("select pg_sleep(5)")

    service = BridgeService(bridge, sweep, listener, interval_seconds=0.05, calm=Calm(1_000), beside=beside)
    stopping = threading.Event()
    running = threading.Thread(target=service.run, args=(stopping,))
    running.start()
    try:
        at: Any = "-infinity"
        for _ in range(2):
            at = until(partial(swept_after, connection, at), "a sweep", 10)
    finally:
        stopping.set()
        running.join()
        listener.close()
        store.close()


def swept_after(connection: Connection, moment: Any) -> Any:
    query = "select swept_at from scheduler_bridge.progress where swept_at > %s"
    found = connection.execute(query, [moment]).fetchone()
    return found and found[0]


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (errors.DeadlockDetected(), False),
        (errors.QueryCanceled(), False),
        (errors.LockNotAvailable(), False),
        (errors.AdminShutdown(), True),
        (errors.CrashShutdown(), True),
        (errors.CannotConnectNow(), True),
        (errors.ConnectionFailure(), True),
        (psycopg.OperationalError("connection refused"), True),
        (PoolTimeout(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_server_that_was_away_makes_an_outage(error: psycopg.OperationalError, away: bool) -> None:
    assert is_outage(error) is away


def test_a_bridge_that_waited_for_its_database_lets_workers_write_their_results_first(
    start: Start, own_database: Database
) -> None:
    work = claimed_before_an_outage(own_database)
    bridge = start("bridge", WAITS)
    own_database.start()
    until(lambda: "bridge ready" in bridge.logs(), "the bridge")
    finish(own_database, work)


def test_housekeeping_that_started_without_its_database_lets_workers_write_their_results_first(
    start: Start, own_database: Database
) -> None:
    work = claimed_before_an_outage(own_database)
    housekeeping = start("housekeeping", " ready.")
    own_database.start()
    start("beat", "Starting")
    until(lambda: "no sweep: the database has just come back" in housekeeping.logs(), "a sweep")
    finish(own_database, work)


def claimed_before_an_outage(database: Database) -> Work:
    """A job whose lease has expired, of a database that has gone since."""
    store = PostgresStore(database.url, lease_seconds=0.01)
    with database.connect() as connection:
        work = claimed(store, connection)
    store.close()
    database.stop()
    return work


def finish(database: Database, work: Work) -> None:
    """As its worker would after the outage; nobody has taken the job back."""
    store = PostgresStore(database.url)
    assert store.finish(work, Outcome(Ending.COMPLETED))
    store.close()
    with database.connect() as connection:
        assert attempts(connection, work.job) == ["completed"]


def claimed(store: PostgresStore, connection: Connection) -> Work:
    """A job whose lease has expired as soon as it is claimed."""
    store.publish_configuration([AgentType("quick", ("quick",), Path())], [Host("h1", 1)])
    store.register_host(Host("h1", 1), "worker@h1.1", ["quick"])
    job = insert(connection, a_stream(a_job("quick")))["quick"]
    store.observe()
    work = store.claim(job, "worker@h1.1", "h1")
    assert isinstance(work, Work) and store.started(work, 1)
    return work


def test_leases_are_taken_back_some_time_after_the_database_is_back() -> None:
    now = 100.0
    calm = Calm(10, lambda: now)
    assert calm.answered()
    calm.disturbed()
    now = 500.0
    assert not calm.answered()
    now = 509.0
    assert not calm.answered()
    now = 510.0
    assert calm.answered()


def test_a_listener_notices_a_server_that_has_gone_without_a_word_as_the_store_does(database: str) -> None:
    listener, store = Listener(database), PostgresStore(database)
    listener.wait(0)
    assert listener._connection is not None
    with store.connection() as connection:
        for found in (listener._connection, connection):
            parameters = found.info.get_parameters()
            assert {name: parameters[name] for name in NOTICE_LOSS} == {
                name: str(value) for name, value in NOTICE_LOSS.items()
            }
    listener.close()
    store.close()
