"""A PostgreSQL that goes away and comes back, and what becomes of jobs and processes meanwhile."""

from __future__ import annotations

import threading
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
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.redis_url import redis_settings
from scheduler_bridge.service import BridgeService
from scheduler_bridge.store.connecting import NOTICE_LOSS
from scheduler_bridge.store.listener import Listener
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.sweep import Sweep
from scheduler_bridge.wiring import is_outage
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import ended, small_fleet, until
from tests.integration.outages import Connection, Database, Start, attempts, fleet, naps, starter


@pytest.fixture
def start(own_database: Database, start_process: Start, tmp_path: Path) -> Start:
    """Start one of COMMANDS on a database that the test may stop."""
    own = {"DATABASE_URL": own_database.url, "SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": "1"}
    return starter(start_process, {**small_fleet(tmp_path), **own})


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

    service = BridgeService(bridge, sweep, listener, interval_seconds=0.05, beside=beside)
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
