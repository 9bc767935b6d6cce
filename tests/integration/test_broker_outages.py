"""A broker that is killed, emptied or not there yet, and processes that come and go around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import announce, ended, passed, small_fleet, until
from tests.integration.outages import Broker, Connection, Start, fleet, naps, starter

FAIL_OVER_SECONDS = 10.0


@pytest.fixture
def start(own_broker: Broker, start_process: Start, tmp_path: Path) -> Start:
    """Start one of COMMANDS on a broker that the test may stop."""
    return starter(start_process, {**small_fleet(tmp_path), "REDIS_URL": own_broker.url})


def a_stream_to_run(connection: Connection) -> list[int]:
    """Two jobs at once and one after both: a chord."""
    jobs = (a_job("quick", name="a"), a_job("quick", name="b"), a_job("quick", name="c", needs=("a", "b")))
    return list(insert(connection, a_stream(*jobs)).jobs.values())


def test_a_broker_that_comes_back_empty_costs_no_job_and_no_agent(
    start: Start, own_broker: Broker, connection: Connection
) -> None:
    processes = fleet(start)
    for seconds in (0.0, 3.0):
        (nap,) = naps(connection, 6)
        own_broker.kill()
        jobs = a_stream_to_run(connection)
        announce(connection)
        passed(seconds)
        own_broker.start()
        assert ended(connection, nap, *jobs) == ["Completed"] * 4
    assert connection.execute("select count(*) from scheduler_bridge.attempt").fetchone() == (8,)
    assert all(process.status == "running" for process in processes)
    assert not any("Traceback" in process.logs() for process in processes)


def test_processes_that_start_before_the_broker_begin_with_it(
    start: Start, own_broker: Broker, connection: Connection
) -> None:
    own_broker.kill()
    for name in ("beat", "housekeeping", "worker"):
        start(name, "Trying again in")
    start("bridge", "bridge ready")
    web = start("web", "Visit me", PORT="0")
    jobs = a_stream_to_run(connection)
    announce(connection)
    own_broker.start()
    assert ended(connection, *jobs) == ["Completed"] * 3
    until(lambda: "Connected to" in web.logs(), "the monitor to find the broker")


def test_sweeps_go_on_when_one_of_two_beats_and_one_of_two_housekeepings_is_killed(
    start: Start, own_broker: Broker, connection: Connection
) -> None:
    usual = {"SCHEDULER_BRIDGE_SWEEP_SECONDS": "5"}
    first = [start(name, **usual) for name in ("beat", "housekeeping")]
    second = [start(name, **usual) for name in ("beat", "housekeeping")]
    swept = "select extract(epoch from nullif(swept_at, '-infinity'))::float8 from scheduler_bridge.progress"

    def next_sweep(after: float, patience: float) -> float:
        def later() -> float | None:
            (found,) = connection.execute(swept).fetchone() or (None,)
            return found if found and found > after else None

        return float(until(later, "a sweep", patience))

    at = next_sweep(0, 30)
    for process in first:
        process.kill()
    for _ in range(2):
        at = next_sweep(at, FAIL_OVER_SECONDS)
    assert all(process.status == "running" for process in second)
