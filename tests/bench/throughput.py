"""Chains and crowds of trivial jobs: from the first insert to the last end."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench import latency
from tests.bench.figures import Figures, median
from tests.bench.fleet import Fleet
from tests.bench.processor import between, spent_seconds
from tests.bench.rows import a_chain, insert
from tests.bench.workshop import AGENT_TYPE

CHAIN = 50
CROWD = 200
HISTORY_ROWS = 300_000
HISTORY_STREAMS = 3_000

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


def chain(fleet: Fleet, runs: int) -> Figures:
    """Fifty jobs, each after the one before."""
    return {"chain50_s": median(_seconds(fleet, CHAIN, a_chain(CHAIN)) for _ in range(runs))}


def crowd(fleet: Fleet, runs: int) -> Figures:
    """Two hundred jobs that need nothing; also what each costs the machine, the agent's process included."""
    before = spent_seconds(fleet)
    rate = _rate(fleet, runs)
    cost = between(before, spent_seconds(fleet), runs * CROWD / 1000, 2)
    return {
        "jobs_per_s": rate,
        "cpu_ms_per_job": round(sum(cost.values()), 2),
        "cpu_ms_per_job_by_process": cost,
    }


def crowd_on_one_slot(fleet: Fleet, runs: int) -> Figures:
    """The same on a fleet of one slot."""
    return {"hostmax1_jobs_per_s": _rate(fleet, runs)}


def with_history(fleet: Fleet, runs: int) -> Figures:
    """Latency and crowd once more before and after 300,000 ended rows, each with a dependency."""
    before = _rate(fleet, runs)
    start_before = latency.announced(fleet, runs)["start_p50_ms"]
    add_history(fleet)
    after = _rate(fleet, runs)
    start_after = latency.announced(fleet, runs)["start_p50_ms"]
    return {
        "jobs_per_s_history": after,
        "jobs_ratio_history": round(after / before, 3),
        "start_p50_ms_history": start_after,
        "start_ratio_history": round(start_after / start_before, 3),
    }


def add_history(fleet: Fleet) -> None:
    """Rows, dependencies and our own ledger of them, vacuumed and written out as old ones are."""
    values = {"rows": HISTORY_ROWS, "streams": HISTORY_STREAMS, "agent_type": AGENT_TYPE, "at": "yesterday"}
    fleet.connection.execute(HISTORY, values)
    fleet.connection.execute("vacuum (analyze) job, jobqueue, jobdepends, scheduler_bridge.attempt")
    fleet.connection.execute("checkpoint")


def _rate(fleet: Fleet, runs: int) -> float:
    return median((CROWD / _seconds(fleet, CROWD) for _ in range(runs)), 1)


def _seconds(fleet: Fleet, count: int, needs: Sequence[tuple[int, int]] = ()) -> float:
    inserted = insert(fleet.connection, [0] * count, needs)
    last = max(run.ended_at for run in fleet.finished(inserted))
    return (last - inserted.begun_at).total_seconds()
