"""Two hosts, one of which is lost: its worker and all its agents are SIGKILLed while they work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from scheduler_bridge.procfile import find_procfile, read_procfile
from tests.bench.commands import ask
from tests.bench.figures import Figures
from tests.bench.fleet import Fleet, ready, running
from tests.bench.processes import process_of
from tests.bench.rows import insert
from tests.bench.waiting import BenchError
from tests.bench.workshop import Workshop
from tests.process_nodes import ProcessBox

LOST, OTHER = "host1", "host2"
SLOTS = 10
JOBS = 10  # a fleet that is half busy: the other host has room for all
MOST_RUNS = 3  # half a minute each
LONG_MS = 600_000
READY_SECONDS = 60.0
CONSUMES = " ready."  # in a worker's log; it reports its host before that
LONGEST_SECONDS = 180.0

# A worker that has just started reports before it has tried its agents.
READY_HOSTS = b"""
select count(distinct t.host) from scheduler_bridge.host h join scheduler_bridge.host_agent_type t on t.host = h.name
where h.seen_at > now() - interval '15 seconds'
"""
RUNNING = """
select a.job, a.host from scheduler_bridge.attempt a
where a.job = any (%s) and a.ended_at is null and a.started_at is not null
"""
# A job that runs or has completed elsewhere did so from its second attempt's first OK on.
RECOVERED = """
select count(*), extract(epoch from max(a.started_at) - %s)::float8
from scheduler_bridge.attempt a
where a.job = any (%s) and a.host <> %s and a.started_at is not null and coalesce(a.ending, 'completed') = 'completed'
"""


def loss(shop: Workshop, runs: int) -> Figures:
    """The slowest of all jobs in all runs."""
    with _two_hosts(shop) as (fleet, lost):
        found = [_lose(fleet, lost) for _ in range(min(runs, MOST_RUNS))]
    return {
        "worker_loss_recovery_s": round(max(found), 2),
        "worker_loss_recovery_min_s": round(min(found), 2),
    }


@contextmanager
def _two_hosts(shop: Workshop) -> Iterator[tuple[Fleet, ProcessBox]]:
    """A fleet whose workers are processes of their own, and the one that is to be lost."""
    parts = read_procfile(find_procfile())
    (worker,) = [part for part in parts if part.name == "worker"]
    slots = {"SCHEDULER_BRIDGE_SLOTS": str(SLOTS)}
    with running(shop, [part for part in parts if part is not worker], slots) as fleet:
        boxes = [
            process_of(fleet, worker, host, "-n", f"{host}@%h", SCHEDULER_BRIDGE_HOST=host)
            for host in (LOST, OTHER)
        ]
        try:
            fleet.wait(lambda: ready(fleet), seconds=READY_SECONDS, what="the fleet")
            for box in boxes:
                box.ready_text = CONSUMES
                box.ready(READY_SECONDS)
            yield fleet, boxes[0]
        finally:
            for box in boxes:
                _kill(box)


def _lose(fleet: Fleet, lost: ProcessBox) -> float:
    """Seconds from the loss until the last of the jobs has started elsewhere."""
    if lost.status != "running":
        lost.restart(READY_SECONDS)
    fleet.wait(lambda: _count(fleet) == 2, seconds=READY_SECONDS, what="two hosts")
    inserted = insert(fleet.connection, [LONG_MS] * JOBS)
    jobs = list(inserted.jobs)
    fleet.wait(lambda: len(_running(fleet, jobs)) == JOBS, seconds=READY_SECONDS, what=f"{JOBS} running jobs")
    struck = [job for job, host in _running(fleet, jobs).items() if host == LOST]
    if not struck:
        raise BenchError(f"no job runs on {LOST}")
    (killed_at,) = fleet.connection.execute("select clock_timestamp()").fetchall()[0]
    _kill(lost)

    def recovered() -> tuple[int, float | None]:
        row = fleet.connection.execute(RECOVERED, [killed_at, struck, LOST]).fetchone()
        assert row is not None
        return int(row[0]), row[1]

    fleet.wait(
        lambda: recovered()[0] == len(struck), seconds=LONGEST_SECONDS, what=f"{len(struck)} jobs elsewhere"
    )
    seconds = recovered()[1]
    assert seconds is not None
    for job in jobs:
        ask(fleet, b'kill %d "the bench has seen enough"' % job)
    fleet.wait(lambda: not _running(fleet, jobs), seconds=READY_SECONDS, what="the end of the agents")
    return seconds


def _kill(box: ProcessBox) -> None:
    """The worker first: it must not see its agents die. They have groups of their own."""
    if box.status != "running":
        return
    agents = psutil.Process(box.pid).children(recursive=True)
    box.kill()
    for agent in agents:
        with suppress(psutil.NoSuchProcess):
            agent.kill()


def _running(fleet: Fleet, jobs: list[int]) -> dict[int, str]:
    return dict(fleet.connection.execute(RUNNING, [jobs]).fetchall())


def _count(fleet: Fleet) -> int:
    (count,) = fleet.connection.execute(READY_HOSTS).fetchall()[0]
    return int(count)
