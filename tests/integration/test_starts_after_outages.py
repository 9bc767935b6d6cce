"""Processes that start after an outage of the database, or while it lasts, and did not see it begin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors

from scheduler_bridge.model.jobs import Ending, Outcome, Work
from scheduler_bridge.service import log_database_error
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.wiring import once_there
from tests.integration.fleet import until
from tests.integration.outages import COMMANDS, WAITS, claimed
from tests.process_nodes import PROJECT
from tests.proxy import in_front_of

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

BRIDGE = COMMANDS["bridge"]
SWEEP = "from tasks.housekeeping import sweep\nprint(sweep())"
EXPIRED = "select job from scheduler_bridge.attempt where expires_at < now()"
NOBODY_SWEPT = "update scheduler_bridge.progress set swept_at = now() - interval '1 hour'"


@pytest.fixture
def expired(database: str, connection: Connection) -> Work:
    """A running job whose lease has expired, its worker alive."""
    store = PostgresStore(database, lease_seconds=0.01)
    work = claimed(store, connection)
    store.close()
    until(lambda: connection.execute(EXPIRED).fetchone(), "the end of the lease")
    return work


def finish(database: str, work: Work) -> bool:
    """Write its result as its worker would after the outage; False: somebody has taken the job back."""
    store = PostgresStore(database)
    written = store.finish(work, Outcome(Ending.COMPLETED))
    store.close()
    return written


def test_a_bridge_that_starts_after_an_outage_lets_workers_write_their_results_first(
    start_process: Start, database: str, connection: Connection, expired: Work
) -> None:
    connection.execute(NOBODY_SWEPT)
    # Said after the first pass, of which a sweep is a part where none has been for long.
    start_process("bridge", BRIDGE, ready_text="bridge ready.")
    assert finish(database, expired)


def test_housekeeping_that_starts_after_an_outage_lets_workers_write_their_results_first(
    environment: dict[str, str], database: str, connection: Connection, expired: Work
) -> None:
    connection.execute(NOBODY_SWEPT)
    command = [sys.executable, "-c", SWEEP]
    said = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert said.stdout == "swept\n"
    assert finish(database, expired)


def test_a_bridge_that_waits_for_its_database_takes_no_hangup_for_its_end_and_reads_again_later(
    start_process: Start, database: str, connection: Connection
) -> None:
    with in_front_of(database) as proxy:
        proxy.cut()
        bridge = start_process("bridge", BRIDGE, ready_text=WAITS, DATABASE_URL=proxy.way_to(database))
        bridge.kill("SIGHUP")
        proxy.thaw()

        def reloads() -> bool:
            assert bridge.status == "running", bridge.logs()
            return connection.execute("select reloads from scheduler_bridge.progress").fetchone() == (1,)

        until(reloads, "the bridge to read its configuration again")
        bridge.kill("SIGTERM")
        assert bridge.wait() == 0


def test_what_loses_its_database_at_the_start_begins_again_and_what_it_refuses_ends_it(database: str) -> None:
    failures = [errors.AdminShutdown("going down"), errors.LockNotAvailable("locked")]
    pauses: list[float] = []

    def work() -> None:
        raise failures.pop(0)

    with pytest.raises(errors.LockNotAvailable):
        once_there(database, work, pause=pauses.append)
    assert len(pauses) == 1


@pytest.mark.parametrize(
    ("error", "said", "action"),
    [
        (
            errors.DeadlockDetected("deadlock detected"),
            "answered with an error: deadlock",
            "database_refused",
        ),
        (errors.QueryCanceled("statement timeout"), "answered with an error: state", "database_refused"),
        (psycopg.OperationalError("refused\n"), "cannot be reached: refused", "database_away"),
    ],
    ids=["deadlock", "cancelled", "away"],
)
def test_an_answer_of_the_database_is_not_told_as_its_absence(
    error: psycopg.OperationalError, said: str, action: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert log_database_error(error, "job 1: ").startswith(f"job 1: the database {said}")
    assert [record.action for record in caplog.records] == [action]  # type: ignore[attr-defined]
