"""What touches thousands of jobs at once is quick, whatever the database knew of its tables before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from scheduler_bridge.audit import auditor
from tests.builders import a_job, a_stream, insert
from tests.contract.queues import emptied

MANY = 10_000
FEW_TIMES = 12  # from the sixth on a connection may keep a plan
STEP_BACK = {"each needs the one before": "1", "all need the first": "n"}
TABLES = (
    "scheduler_bridge.open_job",
    "scheduler_bridge.unplanned",
    "scheduler_bridge.edge",
    "jobqueue",
    "jobdepends",
)


@pytest.fixture
def connection(shared_database: tuple[str, psycopg.Connection[Any]]) -> Iterator[psycopg.Connection[Any]]:
    """An old connection to tables in which there was little until now."""
    url, inserting = shared_database
    emptied(inserting)
    with psycopg.connect(url, autocommit=True) as opened:
        for _ in range(FEW_TIMES):
            inserted = insert(opened, a_stream(a_job("unpack"), a_job("license", needs="unpack")))
            opened.execute("select scheduler_bridge.observe()")
            _kill(opened, inserted["unpack"])
            _rerun(opened, inserted.stream)
        yield opened
    emptied(inserting)


def _kill(connection: psycopg.Connection[Any], job: int) -> None:
    connection.execute("select scheduler_bridge.kill_job(%s, 'not needed')", [job], prepare=True)


def _rerun(connection: psycopg.Connection[Any], stream: int) -> tuple[int, int]:
    query = "select * from scheduler_bridge.rerun_failed(%s)"
    ((again, left_out),) = connection.execute(query, [stream], prepare=True)
    return again, left_out


def _fill(connection: psycopg.Connection[Any], step_back: str) -> tuple[int, int]:
    """Insert a job with MANY dependents; its stream and its number."""
    inserted = insert(connection, a_stream(a_job("unpack")))
    first = inserted["unpack"]
    rows = "generate_series(1, %s) n"
    connection.execute(
        f"insert into public.jobqueue (jq_pk, jq_job_fk, jq_type) select %s + n, %s, 'license' from {rows}",
        [first, inserted.stream, MANY],
    )
    connection.execute(
        f"insert into public.jobdepends select %s + n, %s + n - {step_back} from {rows}", [first, first, MANY]
    )
    return inserted.stream, first


@pytest.mark.parametrize("step_back", STEP_BACK.values(), ids=STEP_BACK.keys())
def test_a_kill_fails_ten_thousand_dependents_within_seconds_and_so_does_a_rerun_free_them(
    connection: psycopg.Connection[Any], step_back: str
) -> None:
    stream, first = _fill(connection, step_back)
    assert connection.execute("select scheduler_bridge.observe()").fetchone() == (MANY + 1,)
    connection.execute("set statement_timeout = '5s'")
    _kill(connection, first)
    ended = connection.execute(
        "select jq_endtext, count(*)::int from jobqueue where jq_job_fk = %s group by 1", [stream]
    ).fetchall()
    assert dict(ended) == {"not needed": 1, "dependency failed": MANY}
    assert _rerun(connection, stream) == (MANY + 1, 0)

    connection.execute("update scheduler_bridge.open_job set worker = 'w' where job = %s", [first])
    _kill(connection, first)
    assert _rerun(connection, stream) == (0, MANY + 1), "its agent is still being ended"


@pytest.mark.parametrize("step_back", STEP_BACK.values(), ids=STEP_BACK.keys())
def test_tables_that_are_taken_for_empty_hold_up_nothing(
    connection: psycopg.Connection[Any], step_back: str
) -> None:
    """As after a burst of jobs and autovacuum: PostgreSQL expects no row in any of the pages."""
    _fill(connection, step_back)
    connection.execute("select scheduler_bridge.observe()")
    emptied(connection)
    _vacuum(connection)
    stream, first = _fill(connection, step_back)
    connection.execute("set statement_timeout = '5s'")
    assert connection.execute("select scheduler_bridge.observe()").fetchone() == (MANY + 1,)
    leased = connection.execute("select scheduler_bridge.lease_streams('me', null, '1 minute')").fetchall()
    assert leased == [(stream,)]
    planned = connection.execute("select count(*) from scheduler_bridge.stream_rows(%s)", [stream]).fetchone()
    assert planned == (MANY + 1,)
    _kill(connection, first)
    connection.execute("reset statement_timeout")
    _vacuum(connection)
    connection.execute("set statement_timeout = '5s'")
    assert _rerun(connection, stream) == (MANY + 1, 0)
    _kill(connection, first)


def _vacuum(connection: psycopg.Connection[Any]) -> None:
    for table in TABLES:
        connection.execute(f"vacuum (truncate false, analyze) {table}")


def test_foreign_tables_that_nobody_may_analyze_hold_up_nothing(
    connection: psycopg.Connection[Any], shared_database: tuple[str, psycopg.Connection[Any]]
) -> None:
    _fill(connection, "1")
    connection.execute("delete from public.job")
    _vacuum(connection)
    connection.execute(
        "delete from pg_statistic where starelid in ('jobqueue'::regclass, 'jobdepends'::regclass)"
    )
    stream, first = _fill(connection, "1")
    with shared_database[1].transaction():
        shared_database[1].execute("lock table jobqueue, jobdepends in share update exclusive mode")
        connection.execute("set statement_timeout = '5s'")
        assert connection.execute("select scheduler_bridge.observe()").fetchone() == (MANY + 1,)
        _kill(connection, first)
        assert _rerun(connection, stream) == (MANY + 1, 0)


def test_a_table_that_is_being_analyzed_or_is_not_ours_is_left_alone_in_silence(
    connection: psycopg.Connection[Any], shared_database: tuple[str, psycopg.Connection[Any]]
) -> None:
    other = shared_database[1]
    _fill(connection, "1")
    connection.execute("set lock_timeout = '1s'")
    told: list[str | None] = []
    connection.add_notice_handler(lambda notice: told.append(notice.message_primary))
    with other.transaction():
        other.execute("lock table scheduler_bridge.open_job, jobqueue in share update exclusive mode")
        assert connection.execute("select scheduler_bridge.observe()").fetchone() == (MANY + 1,)
    with connection.transaction(force_rollback=True):
        connection.execute(
            "create role stranger; grant usage on schema scheduler_bridge to stranger; set local role stranger"
        )
        connection.execute("select scheduler_bridge.keep_statistics('{jobqueue}', 1000000000)")
    assert not told


def test_an_audit_of_a_job_that_needs_twenty_thousand_takes_seconds(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    inserted = insert(connection, a_stream(a_job("report")))
    connection.execute(
        """
        with needed as (
            insert into public.jobqueue (jq_job_fk, jq_type) select %s, 'license' from generate_series(1, %s)
            returning jq_pk
        )
        insert into public.jobdepends select %s, needed.jq_pk from needed
        """,
        [inserted.stream, 2 * MANY, inserted["report"]],
    )
    connection.execute("select scheduler_bridge.observe()")
    connection.execute("analyze")
    monkeypatch.setattr(auditor, "LONGEST_SECONDS", 3)
    assert not auditor.audit(connection).findings
