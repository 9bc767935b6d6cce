"""The queue handed from one scheduler to the next, ours and FOSSology's, and what FOSSology's own tests expect."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.builders import Inserted, a_job, a_stream, insert
from tests.integration.fleet import NAPPER, QUICK, announce, ask, configuration, ended, row, until
from tests.integration.schedulers import Scheduler

Connection = psycopg.Connection[Any]
Start = Callable[..., Scheduler]

# What FOSSology's scheduler asks for and writes, in the order of a job's life.
RUNNABLE = """
select q.jq_pk from jobqueue q join job j on j.job_pk = q.jq_job_fk
where q.jq_starttime is null and q.jq_end_bits < 2 and not exists (
    select from jobdepends d join jobqueue p on p.jq_pk = d.jdep_jq_depends_fk
    where d.jdep_jq_fk = q.jq_pk and not (p.jq_endtime is not null and p.jq_end_bits < 2)
)
order by j.job_priority desc, q.jq_pk
"""
STARTED = """
update jobqueue set jq_starttime = now(), jq_schedinfo = 'localhost.1', jq_endtext = 'Started' where jq_pk = %s
"""
COMPLETED = """
update jobqueue set jq_endtime = now(), jq_end_bits = jq_end_bits | 1, jq_schedinfo = null, jq_endtext = 'Completed'
where jq_pk = %s
"""


@pytest.fixture
def folder(config_folder: Path) -> Path:
    configuration(config_folder, {"nap": NAPPER, "quick": QUICK, "gone": "#!/bin/sh\nexit 1\n"})
    (config_folder / "fossology.conf").write_text("[HOSTS]\nlocalhost = localhost AGENT_DIR 3\n")
    (config_folder / "VERSION").write_text("[BUILD]\nVERSION=4.7\nCOMMIT_HASH=abc123\n")
    return config_folder


@pytest.fixture
def start(environment: dict[str, str], folder: Path, tmp_path: Path) -> Iterator[Start]:
    started: list[Scheduler] = []

    def run(*options: str, **variables: str) -> Scheduler:
        log = tmp_path / f"fossology.{len(started)}.log"
        given = {**environment, "SCHEDULER_BRIDGE_STATE": str(tmp_path / "state"), **variables}
        started.append(Scheduler(given, folder, log, *options))
        started[-1].wait_until_up()
        return started[-1]

    yield run
    for scheduler in started:
        scheduler.close()


def port_of(scheduler: Scheduler) -> int:
    found = re.search(r"commands are taken on port (\d+)", "\n".join(scheduler.lines))
    assert found
    return int(found[1])


def a_queue(connection: Connection) -> Inserted:
    """Four rounds of jobs, each waiting for the one before."""
    names = [[f"job{level}{place}" for place in range(3)] for level in range(4)]
    jobs = [
        a_job("nap", args="0.4", name=name, needs=tuple(names[level - 1]) if level else ())
        for level, row_of in enumerate(names)
        for name in row_of
    ]
    inserted = insert(connection, a_stream(*jobs))
    announce(connection)
    return inserted


def count(connection: Connection, where: str) -> int:
    row_found = connection.execute(f"select count(*) from jobqueue where {where}".encode()).fetchone()
    assert row_found is not None
    return int(row_found[0])


def kill_in_one_moment(processes: list[psutil.Process]) -> None:
    """As a machine that loses its power: no worker sees its agents die first, which would be failures of theirs."""
    for deed in (psutil.Process.suspend, psutil.Process.kill):
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # an agent that has just ended
                deed(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_two_lives_and_a_scheduler_of_fossology_between_them_finish_one_queue(
    start: Start, connection: Connection, number: signal.Signals
) -> None:
    first = start("-p", "0")
    jobs = a_queue(connection)
    until(lambda: count(connection, "jq_endtext = 'Completed'") >= 4, "some jobs")
    assert first.end(number) == 0
    assert (
        count(connection, "jq_endtime is null and (jq_starttime is not null or jq_endtext is not null)") == 0
    )

    ours = count(connection, "jq_endtext = 'Completed'")
    theirs = connection.execute(RUNNABLE.encode()).fetchall()[:2]
    assert theirs
    for (job,) in theirs:
        connection.execute(STARTED, [job])
        connection.execute(COMPLETED, [job])

    start("-p", "0")
    assert ended(connection, *jobs.jobs.values()) == ["Completed"] * 12
    assert count(connection, "jq_end_bits = 1") == 12
    attempts = connection.execute(
        "select count(*), count(distinct job) from scheduler_bridge.attempt where ending = 'completed'"
    ).fetchone()
    expected = 12 - len(theirs)
    assert attempts == (expected, expected), f"{ours} in the first life, {len(theirs)} by the other scheduler"


def test_a_scheduler_that_was_killed_hands_its_queue_over_when_its_leases_end(
    start: Start, connection: Connection
) -> None:
    first = start("-p", "0", SCHEDULER_BRIDGE_LEASE_SECONDS="3")
    jobs = a_queue(connection)
    until(lambda: count(connection, "jq_endtext = 'Completed'") >= 2, "some jobs")
    kill_in_one_moment(first.family())
    first.process.wait(10)
    start("-p", "0", SCHEDULER_BRIDGE_LEASE_SECONDS="3")
    assert ended(connection, *jobs.jobs.values()) == ["Completed"] * 12


def test_the_first_line_of_a_status_is_what_fossologys_tests_compare_and_stop_ends_an_idle_scheduler(
    start: Start, environment: dict[str, str]
) -> None:
    scheduler = start("-p", "0", "-v", "952", SCHEDULER_BRIDGE_STARTUP_TESTS="on")
    port = port_of(scheduler)
    pid, log = scheduler.process.pid, scheduler.log
    expected = f"scheduler:{pid} revision:abc123 daemon:0 jobs:0 log:{log} port:{port} verbose:952"
    received, first, *_ = ask(port, b"status").decode().split("\n")
    assert (received, first) == ("received", expected)
    assert ask(port, b"load") == b"received\nhost:localhost address:localhost max:3 running:0\n\nend\n"
    until(lambda: ask(port, b"agents") == b"received\nnap quick \nend\n", "the startup tests")
    ask(port, b"verbose 3")
    assert b"verbose:3\n" in ask(port, b"status")
    it_ends_with(scheduler, b"stop")


def test_only_agents_that_pass_their_startup_test_are_listed_and_jobs_of_the_others_say_why(
    start: Start, connection: Connection
) -> None:
    scheduler = start("-p", "0", SCHEDULER_BRIDGE_STARTUP_TESTS="on")
    until(lambda: b"nap quick \n" in ask(port_of(scheduler), b"agents"), "the startup tests")
    stream = insert(connection, a_stream(a_job("gone"), a_job("quick")))
    ask(port_of(scheduler), b"database")
    assert ended(connection, stream["quick"]) == ["Completed"]
    assert row(connection, stream["gone"])["jq_endtext"] is None
    why = connection.execute(
        "select (scheduler_bridge.obstacle(%s, null)).subject", [stream["gone"]]
    ).fetchone()
    assert why is not None and "localhost: " in why[0]


def test_an_idle_scheduler_dies_when_told_to(start: Start) -> None:
    it_ends_with(start("-p", "0"), b"die")


def it_ends_with(scheduler: Scheduler, command: bytes) -> None:
    """Told so it ends while it is idle, and nothing of it is left."""
    port, family = port_of(scheduler), scheduler.family()
    assert ask(port, command) == b"received\nCLOSE\n"
    assert scheduler.process.wait(15) == 0
    assert not any(process.is_running() and process.status() != "zombie" for process in family)
    with pytest.raises(ConnectionRefusedError):
        ask(port, b"status")
