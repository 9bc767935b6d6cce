"""The command port: how soon `database` starts a job, and how soon a client is answered."""

from __future__ import annotations

import socket
import statistics
import time

from scheduler_bridge.migrate import remove_trigger
from scheduler_bridge.servers import LOOPBACK
from tests.bench.figures import Figures, median
from tests.bench.fleet import Fleet
from tests.bench.rows import insert

JOBS_A_RUN = 50
OPEN_JOBS = 1000
ASKED = 50
CROWD = 200
LONG_MS = 600_000  # of the job that the open ones wait for
REPLY_SECONDS = 10.0
PORT = b"select port from scheduler_bridge.bridge where port is not null order by seen_at desc limit 1"
PERCENT_95 = 94  # index of statistics.quantiles(n=100)


def commands(fleet: Fleet, runs: int) -> Figures:
    """All figures of the port."""
    remove_trigger(fleet.services.database_url)
    return {
        "database_command_p50_ms": median((median(_started_by_database(fleet)) for _ in range(runs)), 2),
        **_status(fleet),
        **_under_load(fleet, runs),
    }


def _started_by_database(fleet: Fleet) -> list[float]:
    """From an insert's commit, with the command behind it, to the agent's first OK, one job at a time."""
    found = []
    for _ in range(JOBS_A_RUN):
        inserted = insert(fleet.connection, [0], announce=False)
        ask(fleet, b"database")
        (run,) = fleet.finished(inserted)
        found.append((run.started_at - inserted.committed_at).total_seconds() * 1000)
    return found


def _status(fleet: Fleet) -> Figures:
    """`status` while many jobs are open, none of which can start."""
    needs = [(job, 0) for job in range(1, OPEN_JOBS)]
    inserted = insert(fleet.connection, [LONG_MS, *[0] * (OPEN_JOBS - 1)], needs)
    size = len(ask(fleet, b"status"))
    times = [_timed(fleet, b"status") for _ in range(ASKED)]
    ask(fleet, b'kill %d "the bench has seen enough"' % inserted.jobs[0])
    return {
        "status_1000_ms": median(times, 2),
        "status_1000_max_ms": round(max(times), 2),
        "status_bytes": size,
    }


def _under_load(fleet: Fleet, runs: int) -> Figures:
    """Commands while a crowd of jobs runs as fast as it can."""
    times: list[float] = []
    for _ in range(runs):
        inserted = insert(fleet.connection, [0] * CROWD)
        while fleet.connection.execute(
            "select exists (select from jobqueue where jq_job_fk = %s and jq_endtime is null)",
            [inserted.stream],
        ).fetchone() == (True,):
            times += [_timed(fleet, command) for command in (b"status", b"load", b"pause 2000000000")]
        fleet.finished(inserted)
    return {
        "command_under_load_ms": round(statistics.quantiles(times, n=100)[PERCENT_95], 2),
        "command_under_load_p50_ms": median(times, 2),
        "command_under_load_max_ms": round(max(times), 2),
    }


def _timed(fleet: Fleet, command: bytes) -> float:
    began = time.perf_counter()
    ask(fleet, command)
    return (time.perf_counter() - began) * 1000


def ask(fleet: Fleet, command: bytes) -> bytes:
    """Send one command on a connection of its own; its whole reply."""
    (port,) = fleet.connection.execute(PORT).fetchall()[0]
    with socket.create_connection((LOOPBACK, port), timeout=REPLY_SECONDS) as client:
        client.sendall(command)
        client.shutdown(socket.SHUT_WR)
        reply = b""
        while data := client.recv(65536):
            reply += data
    return reply
