"""Workers of two versions on one queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import announce, ended, small_fleet, until
from tests.integration.outages import Connection, Start, starter


@pytest.fixture
def start(start_process: Start, tmp_path: Path) -> Start:
    """Start one of COMMANDS."""
    return starter(start_process, small_fleet(tmp_path))


def test_a_message_of_another_version_does_not_lose_its_job(start: Start, connection: Connection) -> None:
    old = start("old", " ready.", SCHEDULER_BRIDGE_HOST="old")
    start("bridge", "bridge ready")
    job = insert(connection, a_stream(a_job("quick")))["quick"]
    announce(connection)
    ignored = f"job {job}: message of version 1 ignored"
    until(lambda: ignored in old.logs(), "the old worker to leave it")
    start("worker", " ready.", SCHEDULER_BRIDGE_HOST="new")
    assert ended(connection, job) == ["Completed"]
    assert old.logs().count(ignored) < 10 and old.status == "running"
    assert connection.execute("select host from scheduler_bridge.attempt").fetchall() == [("new",)]


def test_old_and_new_workers_on_one_queue_run_every_job_once(start: Start, connection: Connection) -> None:
    start("old", " ready.", SCHEDULER_BRIDGE_HOST="old")
    start("worker", " ready.", SCHEDULER_BRIDGE_HOST="new")
    start("bridge", "bridge ready")
    jobs = insert(connection, a_stream(*[a_job("quick", name=f"q{n}") for n in range(6)])).jobs.values()
    announce(connection)
    # Half of the hints go to the old one, and each is offered again half a second later than before.
    assert ended(connection, *jobs, seconds=90) == ["Completed"] * 6
    hosts = "select host, count(*) from scheduler_bridge.attempt group by host"
    assert connection.execute(hosts).fetchall() == [("new", 6)]
