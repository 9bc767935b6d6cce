"""Streams of the trivial agent, inserted by one statement, and how they went by the database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from scheduler_bridge.store.listener import CHANNEL
from tests.bench.waiting import BenchError
from tests.bench.workshop import AGENT_TYPE

COMPLETED = 1  # jq_end_bits

INSERT = """
with stream as (
    insert into job (job_name) values ('bench') returning job_pk, clock_timestamp() as begun_at
), jobs as (
    insert into jobqueue (jq_job_fk, jq_type, jq_args)
    select job_pk, %(agent_type)s, data
    from stream, unnest(%(data)s::text[]) with ordinality as d (data, place) order by place
    returning jq_pk
), numbered as (
    select array_agg(jq_pk order by jq_pk) as jobs from jobs
), dependencies as (
    insert into jobdepends (jdep_jq_fk, jdep_jq_depends_fk)
    select jobs[job + 1], jobs[needs + 1]
    from numbered, unnest(%(dependents)s::int[], %(prerequisites)s::int[]) as d (job, needs)
    returning 1
), announced as (
    select pg_notify(%(channel)s, '') where %(announce)s
)
select job_pk, jobs, begun_at, clock_timestamp()
from stream, numbered, (select count(*) from dependencies) d, (select count(*) from announced) a
"""


@dataclass(frozen=True, slots=True)
class Inserted:
    """A stream that has been committed."""

    stream: int
    jobs: tuple[int, ...]  # in the order of their data
    begun_at: datetime  # before the first row
    committed_at: datetime  # at the end of the statement: the commit itself counts as ours


@dataclass(frozen=True, slots=True)
class Run:
    """How one job went."""

    job: int
    started_at: datetime
    ended_at: datetime


def insert(
    connection: psycopg.Connection[Any],
    data: Sequence[int],
    needs: Sequence[tuple[int, int]] = (),
    *,
    announce: bool = True,
) -> Inserted:
    """Insert one stream on a connection in autocommit mode.

    `data` holds each job's milliseconds of sleep, `needs` pairs of positions: (job, its prerequisite). With
    `announce` the transaction sends the NOTIFY that `submit` sends.
    """
    row = connection.execute(
        INSERT,
        {
            "agent_type": AGENT_TYPE,
            "data": [str(milliseconds) for milliseconds in data],
            "dependents": [job for job, _ in needs],
            "prerequisites": [need for _, need in needs],
            "channel": CHANNEL,
            "announce": announce,
        },
        prepare=True,
    ).fetchone()
    assert row is not None
    stream, jobs, begun_at, committed_at = row
    return Inserted(stream, tuple(jobs), begun_at, committed_at)


def a_chain(length: int) -> list[tuple[int, int]]:
    """The dependencies of a chain."""
    return [(job, job - 1) for job in range(1, length)]


def open_jobs(connection: psycopg.Connection[Any], stream: int) -> int:
    """How many jobs of a stream have not ended."""
    row = connection.execute(
        "select count(*) from jobqueue where jq_job_fk = %s and jq_endtime is null", [stream]
    ).fetchone()
    assert row is not None
    return int(row[0])


def runs_of(connection: psycopg.Connection[Any], stream: int) -> list[Run]:
    """The jobs of an ended stream, ordered by number. BenchError if one has not completed."""
    rows = connection.execute(
        "select jq_pk, jq_starttime, jq_endtime, jq_end_bits, jq_endtext from jobqueue"
        " where jq_job_fk = %s order by jq_pk",
        [stream],
    ).fetchall()
    wrong = [(job, text) for job, _, _, bits, text in rows if bits != COMPLETED]
    if wrong:
        raise BenchError(f"stream {stream}: {len(wrong)} jobs did not complete: {wrong[:5]}")
    return [Run(job, started, ended) for job, started, ended, _, _ in rows]
