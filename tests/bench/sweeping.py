"""One sweep on a database with a long history and a long queue in which nothing has changed."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import psycopg

from scheduler_bridge.bridge import Bridge
from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.dispatch.application import make_application
from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.embedded import services
from scheduler_bridge.model.agents import Host
from scheduler_bridge.model.jobs import Work
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.redis_url import redis_settings
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.sweep import Sweep
from scheduler_bridge.up import prepare_database
from tests.bench.figures import Figures, median
from tests.bench.history import add_history
from tests.bench.rows import insert
from tests.bench.waiting import BenchError
from tests.bench.workshop import AGENT_TYPE, Workshop

HISTORY_ROWS = 1_000_000
WIDE_STREAMS = 50  # of jobs that could start, more of them than the window takes
DEEP_STREAMS = 50  # of jobs that wait for the one before them
JOBS_A_STREAM = 100
SLOTS = 10
INTERVAL_SECONDS = 5.0  # between two sweeps by default: it cuts the slices
LEASE_SECONDS = 3600  # of the jobs that run: none ends meanwhile
PASSES_A_RUN = 15  # more than the ten of a round of slices
OWNER = "bench"
WORKER = "worker@bench"

OPEN = b"select count(*) from scheduler_bridge.open_job where worker is null"
TOUCH = b"update jobqueue set jq_itemsprocessed = 1 where jq_pk = (select min(job) from scheduler_bridge.open_job)"
COUNT_NOW = b"select pg_stat_force_next_flush()"  # else it may take ten seconds until the change is counted
STATE = b"""
select count(*), count(*) filter (where ready), count(proposed_at), count(obstacle) from scheduler_bridge.open_job
"""


class TimedStore(PostgresStore):
    """Adds up what each statement takes, its commit and its way included."""

    def __init__(self, url: str) -> None:
        super().__init__(url, lease_seconds=LEASE_SECONDS)
        self.milliseconds: defaultdict[str, float] = defaultdict(float)

    def _rows(self, query: str, **values: Any) -> list[Any]:
        began = time.perf_counter()
        rows = super()._rows(query, **values)
        self.milliseconds[query] += (time.perf_counter() - began) * 1000
        return rows


def sweep(shop: Workshop, runs: int) -> Figures:
    """The median pass over some rounds of slices, the slowest one, and each statement's median share.

    Then the median pass while rows of `jobqueue` are being written, so that each pass reads a slice of it.
    """
    with services(shop.new_folder("sweep"), {}) as servers:
        prepare_database(servers)
        store = TimedStore(servers.database_url)
        proposals = Proposals(store, Publisher(make_application(redis_settings(servers.redis_url))))
        bridge = Bridge(store, proposals, owner=OWNER)
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            _fill(connection, store, bridge, shop)
            passes = Sweep(store, bridge, proposals, interval_seconds=INTERVAL_SECONDS)
            for _ in range(PASSES_A_RUN):
                _one_pass(
                    connection, store, passes
                )  # connections, plans and a cache as a running fleet has them
            before = connection.execute(STATE).fetchone()
            found = [_one_pass(connection, store, passes) for _ in range(runs * PASSES_A_RUN)]
            busy = []
            for _ in range(PASSES_A_RUN):
                connection.execute(TOUCH)
                connection.execute(COUNT_NOW)
                busy.append(_one_pass(connection, store, passes)[0])
            after = connection.execute(STATE).fetchone()
        store.close()
    if before != after:
        raise BenchError(f"something has changed while it should not: {before} became {after}")
    totals = [total for total, _ in found]
    names = found[0][1]
    return {
        "sweep_ms_1m": median(totals, 2),
        "sweep_max_ms_1m": round(max(totals), 2),
        "sweep_busy_ms_1m": median(busy, 2),
        "sweep_ms_1m_by_statement": {
            name: median((statements[name] for _, statements in found), 2) for name in names
        },
    }


def _fill(connection: psycopg.Connection[Any], store: PostgresStore, bridge: Bridge, shop: Workshop) -> None:
    """History, then a fleet whose slots are taken and ten thousand rows that wait, as bridge and worker leave them."""
    configuration = Configuration.read(shop.configuration)
    store.publish_configuration(configuration.agent_types.values(), configuration.hosts.values())
    _report(store)
    add_history(connection, HISTORY_ROWS)
    runs_first = insert(connection, [0] * SLOTS, announce=False)
    for _ in range(WIDE_STREAMS):
        insert(connection, [0] * JOBS_A_STREAM, announce=False)
    for _ in range(DEEP_STREAMS):
        insert(
            connection,
            [0] * JOBS_A_STREAM,
            [(job, job - 1) for job in range(1, JOBS_A_STREAM)],
            announce=False,
        )
    _report(store)
    bridge.tick()
    bridge.tick()  # what was under way at the first look is settled at the second
    for job in runs_first.jobs:
        work = store.claim(job, WORKER, OWNER)
        if not isinstance(work, Work) or not store.started(work, 1):
            raise BenchError(f"job {job} cannot be claimed: {work}")
    connection.execute(
        "vacuum (analyze) scheduler_bridge.open_job, scheduler_bridge.edge, scheduler_bridge.unplanned"
    )
    connection.execute("analyze")
    (waiting,) = connection.execute(OPEN).fetchall()[0]
    if waiting != (WIDE_STREAMS + DEEP_STREAMS) * JOBS_A_STREAM:
        raise BenchError(f"{waiting} rows wait")


def _one_pass(
    connection: psycopg.Connection[Any], store: TimedStore, passes: Sweep
) -> tuple[float, dict[str, float]]:
    """Milliseconds of a pass, and of its statements. The time between two passes is made to have gone by."""
    connection.execute("update scheduler_bridge.progress set swept_at = '-infinity'")
    _report(store)
    store.milliseconds.clear()
    began = time.perf_counter()
    if not passes.run():
        raise BenchError("the turn to sweep was refused")
    return (time.perf_counter() - began) * 1000, dict(store.milliseconds)


def _report(store: PostgresStore) -> None:
    """The fleet has one host, which lives."""
    store.register_host(Host(OWNER, SLOTS), WORKER, [AGENT_TYPE])
