"""A stream file becomes rows: one transaction, a handful of statements, however many jobs there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from scheduler_bridge.store.listener import CHANNEL
from scheduler_bridge.stream_file import StreamFile

INSERT_STREAMS = """
insert into public.job (job_queued, job_priority, job_name)
select now(), s.priority, %(name)s
from unnest(%(priorities)s::int[]) with ordinality as s (priority, place) order by s.place
returning job_pk
"""

# Numbers are drawn in the order of the rows, so a prerequisite always has a lower one than what needs it.
INSERT_JOBS = """
insert into public.jobqueue (jq_job_fk, jq_type, jq_args, jq_cmd_args, jq_host)
select r.stream, r.agent_type, r.args, r.cmd_args, r.host
from unnest(
    %(streams)s::int[], %(agent_types)s::text[], %(args)s::text[], %(cmd_args)s::text[], %(hosts)s::text[]
) with ordinality as r (stream, agent_type, args, cmd_args, host, place) order by r.place
returning jq_pk
"""

INSERT_DEPENDENCIES = """
insert into public.jobdepends (jdep_jq_fk, jdep_jq_depends_fk)
select * from unnest(%(jobs)s::int[], %(needs)s::int[])
"""


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A row of `jobqueue` that was inserted."""

    job: int
    stream: int
    agent_type: str
    name: str  # in the file
    needs: tuple[int, ...]  # job numbers


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a stream file has become."""

    streams: dict[int, int]  # number -> priority; the file's own first, then its siblings
    jobs: tuple[SubmittedJob, ...]  # by number: prerequisites first


def submit(connection: psycopg.Connection[Any], file: StreamFile) -> Submitted:
    """Insert the rows and wake the bridges, in one transaction. Raises psycopg.Error: nothing was done."""
    priorities = list(file.siblings())
    with connection.transaction():
        streams = _numbers(connection, INSERT_STREAMS, name=file.name, priorities=priorities)
        stream_of = dict(zip(priorities, streams, strict=True))
        jobs = [file.jobs[position] for position in file.order]
        numbers = _numbers(
            connection,
            INSERT_JOBS,
            streams=[stream_of[job.priority] for job in jobs],
            agent_types=[job.agent for job in jobs],
            args=[job.args for job in jobs],
            cmd_args=[job.cmd_args or None for job in jobs],
            hosts=[job.host for job in jobs],
        )
        number_of = dict(zip(file.order, numbers, strict=True))
        needs = [tuple(number_of[need] for need in job.needs) for job in jobs]
        submitted = tuple(
            SubmittedJob(number, stream_of[job.priority], job.agent, job.name, needed)
            for number, job, needed in zip(numbers, jobs, needs, strict=True)
        )
        pairs = [(job.job, need) for job in submitted for need in job.needs]
        values = {"jobs": [job for job, _ in pairs], "needs": [need for _, need in pairs]}
        connection.execute(INSERT_DEPENDENCIES, values)
        connection.execute("select pg_notify(%s, '')", [CHANNEL])
    return Submitted({stream: priority for priority, stream in stream_of.items()}, submitted)


def _numbers(connection: psycopg.Connection[Any], statement: str, **values: Any) -> list[int]:
    """The numbers that the inserted rows have drawn, in the order of the rows."""
    return sorted(number for (number,) in connection.execute(statement, values))
