"""A stream of 100,000 jobs: planned and proposed, not run."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, cast

import psycopg
import redis

from scheduler_bridge.bridge import decide
from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.dispatch.application import make_application
from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.dispatch.routes import queue_of
from scheduler_bridge.embedded import services
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.redis_url import redis_settings
from scheduler_bridge.store.listener import CHANNEL
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.up import prepare_database
from tests.bench.figures import Figures, median
from tests.bench.fleet import Fleet, bridge_alone
from tests.bench.workshop import AGENT_TYPE, Workshop

JOBS = 100_000
SEED = 0.5
PLAN_SECONDS = 300
OWNER = "bench"

STREAM = "insert into job (job_name) values ('large') returning job_pk"
ROWS = """
insert into jobqueue (jq_job_fk, jq_type, jq_args)
select %(stream)s::int, %(agent_type)s, '0' from generate_series(1, %(jobs)s::int)
"""
# About two dependencies a job, each on any job before it; some are drawn twice.
DEPENDENCIES = """
with numbered as (
    select min(jq_pk) as first from jobqueue where jq_job_fk = %(stream)s::int
)
insert into jobdepends (jdep_jq_fk, jdep_jq_depends_fk)
select distinct first + place, first + floor(random() * place)::int
from numbered, generate_series(1, %(jobs)s::int - 1) as r (place), generate_series(1, 2)
"""
COMMITTING = f"select pg_notify('{CHANNEL}', ''), clock_timestamp()"


def plan(shop: Workshop, runs: int) -> Figures:
    """From the commit until the stream is planned and its first hints lie in the broker; then the parts."""
    seconds = []
    sizes: list[int] = []
    for _ in range(runs):
        with bridge_alone(shop) as alone:
            seconds.append(_plan_once(alone))
            sizes += map(len, _published(alone.broker))
    return {
        "plan_100k_s": median(seconds),
        "message_bytes_max_100k": max(sizes),
        "plan_100k_parts_s": parts(shop),
    }


def parts(shop: Workshop) -> Figures:
    """The bridge's own verbs over one such stream in this process, in seconds."""
    with services(shop.new_folder("plan"), {}) as servers:
        prepare_database(servers)
        store = PostgresStore(servers.database_url)
        configuration = Configuration.read(shop.configuration)
        store.publish_configuration(configuration.agent_types.values(), configuration.hosts.values())
        proposals = Proposals(store, Publisher(make_application(redis_settings(servers.redis_url))))
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            stream, _ = insert_large(connection)
        watch = _Stopwatch()
        store.observe()
        watch.lap("mirror")
        store.lease_streams(OWNER)
        watch.lap("lease")
        rows = store.stream_rows(stream)
        watch.lap("read")
        record, lines = decide(rows)
        watch.lap("plan")
        ours = store.record_plan(stream, OWNER, record)
        watch.lap("record")
        proposals.publish([line for line in lines if line[0].job in ours])
        watch.lap("publish")
        store.close()
    return watch.laps


def insert_large(connection: psycopg.Connection[Any]) -> tuple[int, datetime]:
    """100,000 jobs, about 200,000 dependencies, one transaction: the stream and the time of its commit."""
    with connection.transaction():
        connection.execute("select setseed(%s)", [SEED])
        stream = _row(connection.execute(STREAM))[0]
        values = {"stream": stream, "jobs": JOBS, "agent_type": AGENT_TYPE}
        connection.execute(ROWS, values)
        connection.execute(DEPENDENCIES, values)
        _, committed_at = _row(connection.execute(COMMITTING))
    return int(stream), committed_at


class _Stopwatch:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: Figures = {}
        self._at = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._at, 3)
        self._at = now


def _plan_once(alone: Fleet) -> float:
    _, committed_at = insert_large(alone.connection)
    queue = queue_of(AGENT_TYPE)  # what lies in it has been recorded before: the broker alone is asked
    alone.wait(
        lambda: bool(alone.broker.exists(queue)), seconds=PLAN_SECONDS, what=f"the plan of {JOBS} jobs"
    )
    (now,) = _row(alone.connection.execute("select clock_timestamp()"))
    return float((now - committed_at).total_seconds())


def _published(broker: redis.Redis) -> list[bytes]:
    return cast(list[bytes], broker.lrange(queue_of(AGENT_TYPE), 0, -1))


def _row(cursor: psycopg.Cursor[Any]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None
    return tuple(row)
