"""Finished rows as years leave them: streams, jobs that each have a dependency, and our own ledger of them."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.bench.workshop import AGENT_TYPE

JOBS_A_STREAM = 100

HISTORY = """
with stream as (
    insert into job (job_name, job_queued)
    select 'history', %(at)s::timestamptz from generate_series(1, %(streams)s::int) returning job_pk
), numbered as (
    select job_pk, row_number() over (order by job_pk) - 1 as place from stream
), ended as (
    insert into jobqueue
        (jq_job_fk, jq_type, jq_args, jq_starttime, jq_endtime, jq_endtext, jq_end_bits, jq_itemsprocessed)
    select n.job_pk, %(agent_type)s, '0', %(at)s, %(at)s, 'Completed', 1, 1
    from generate_series(0, %(rows)s::int) as r (place)
    join numbered n on n.place = least(r.place * %(streams)s::bigint / %(rows)s, %(streams)s - 1)
    order by r.place
    returning jq_pk, jq_job_fk
), dependencies as (
    insert into jobdepends (jdep_jq_fk, jdep_jq_depends_fk)
    select jq_pk, jq_pk - 1 from ended where jq_pk > (select min(jq_pk) from ended)
)
insert into scheduler_bridge.attempt
    (job, epoch, stream, agent_type, worker, host, claimed_at, started_at, ended_at, ending, items)
select jq_pk, 1, jq_job_fk, %(agent_type)s, 'worker', 'localhost', %(at)s, %(at)s, %(at)s, 'completed', 1
from ended
"""


def add_history(connection: psycopg.Connection[Any], rows: int) -> None:
    """So many finished rows, vacuumed and written out as old ones are; autocommit mode."""
    values = {"rows": rows, "streams": rows // JOBS_A_STREAM, "agent_type": AGENT_TYPE, "at": "yesterday"}
    connection.execute(HISTORY, values)
    connection.execute("vacuum (analyze) job, jobqueue, jobdepends, scheduler_bridge.attempt")
    connection.execute("checkpoint")
