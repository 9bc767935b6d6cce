"""What a sweep reads of `jobqueue`: a round of slices after each change, and nothing once that round has passed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from scheduler_bridge.store.postgres import ROUND_SECONDS, PostgresStore
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import until

Connection = psycopg.Connection[Any]

SECONDS = 5.0  # between two sweeps: nine to a round
LEFT = "select foreign_left from scheduler_bridge.progress"
OPEN = "select job from scheduler_bridge.open_job order by job"


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    store = PostgresStore(database)
    yield store
    store.close()


def quiet(store: PostgresStore, connection: Connection) -> None:
    """Sweep until a round has passed since the latest change."""
    end(connection)

    def passed() -> bool:
        store.sweep(SECONDS)
        return connection.execute(LEFT).fetchone() == (0,)

    until(passed, "a whole round")


def end(connection: Connection) -> None:
    """What this session has written is counted now, as it would be within ten seconds."""
    connection.execute("select pg_stat_force_next_flush()")


def test_a_row_that_was_opened_again_is_found_in_one_round(
    store: PostgresStore, connection: Connection
) -> None:
    jobs = insert(connection, a_stream(*[a_job("quick", name=f"q{n}") for n in range(50)])).jobs.values()
    connection.execute("update jobqueue set jq_endtime = now(), jq_end_bits = 1")
    quiet(store, connection)
    assert connection.execute(OPEN).fetchall() == []
    again = list(jobs)[30]
    connection.execute("update jobqueue set jq_endtime = null, jq_end_bits = 0 where jq_pk = %s", [again])
    quiet(store, connection)
    assert connection.execute(OPEN).fetchall() == [(again,)]


def test_a_row_is_found_although_the_table_has_grown_in_the_middle_of_a_round(
    store: PostgresStore, connection: Connection
) -> None:
    insert(connection, a_stream(*[a_job("quick", name=f"q{n}") for n in range(89)]))
    connection.execute("update jobqueue set jq_endtime = now(), jq_end_bits = 1")
    quiet(store, connection)
    store.sweep(SECONDS)
    for row in (47, 3, 80):
        insert(connection, a_stream(*[a_job("quick", name=f"q{n}") for n in range(9)]))
        connection.execute("update jobqueue set jq_endtime = now(), jq_end_bits = 1")
        end(connection)
        for _ in range(4):
            store.sweep(SECONDS)
        connection.execute("update jobqueue set jq_endtime = null, jq_end_bits = 0 where jq_pk = %s", [row])
        quiet(store, connection)
        assert (row,) in connection.execute(OPEN).fetchall()


def test_what_no_counter_tells_is_found_within_ten_minutes(
    store: PostgresStore, connection: Connection
) -> None:
    again = insert(connection, a_stream(a_job("quick")))["quick"]
    connection.execute("update jobqueue set jq_endtime = now(), jq_end_bits = 1")
    quiet(store, connection)
    connection.execute("set track_counts = off")
    connection.execute("update jobqueue set jq_endtime = null, jq_end_bits = 0")
    connection.execute("set track_counts = on")
    for _ in range(20):
        store.sweep(SECONDS)
    assert connection.execute(OPEN).fetchall() == []
    connection.execute(
        "update scheduler_bridge.progress set foreign_round_at = foreign_round_at - interval '10 minutes'"
    )
    quiet(store, connection)
    assert connection.execute(OPEN).fetchall() == [(again,)]


def insert_many(connection: Connection, count: int) -> tuple[int, int]:
    """A stream of so many jobs and one, which need nothing, and its first job."""
    inserted = insert(connection, a_stream(a_job("quick")))
    connection.execute(
        "insert into jobqueue (jq_job_fk, jq_type) select %s, 'quick' from generate_series(1, %s)",
        [inserted.stream, count],
    )
    return inserted.stream, inserted["quick"]


def sweep_a_round(store: PostgresStore) -> None:
    for _ in range(int(ROUND_SECONDS / SECONDS)):
        store.sweep(SECONDS)


@pytest.mark.parametrize("sweeps_before", range(4))
def test_what_ends_during_a_round_does_not_make_it_longer(
    store: PostgresStore, connection: Connection, sweeps_before: int
) -> None:
    insert_many(connection, 4000)
    store.observe()
    for _ in range(sweeps_before):
        store.sweep(SECONDS)
    connection.execute("update jobqueue set jq_endtime = now(), jq_end_bits = 1")
    sweep_a_round(store)
    assert connection.execute(OPEN).fetchall() == []


def test_what_is_opened_again_during_a_round_does_not_make_the_next_longer(
    store: PostgresStore, connection: Connection
) -> None:
    stream, _ = insert_many(connection, 4000)
    connection.execute("update jobqueue set jq_endtime = now(), jq_end_bits = 2")
    _, first = insert_many(connection, 1800)
    store.observe()
    until(lambda: sweep_to_an_end(store, connection), "the end of a round")
    store.sweep(SECONDS)
    connection.execute("update jobqueue set jq_endtime = now(), jq_end_bits = 1 where jq_pk = %s", [first])
    connection.execute("select scheduler_bridge.rerun_failed(%s)", [stream])
    sweep_a_round(store)
    opened = connection.execute(OPEN).fetchall()
    assert (first,) not in opened
    assert len(opened) == 4001 + 1800


def sweep_to_an_end(store: PostgresStore, connection: Connection) -> bool:
    store.sweep(SECONDS)
    return connection.execute("select mirror_ends from scheduler_bridge.progress").fetchone() == ([],)


def test_a_job_whose_stream_is_missing_is_planned_again(store: PostgresStore, connection: Connection) -> None:
    job = insert(connection, a_stream(a_job("quick")))["quick"]
    store.observe()
    connection.execute("delete from scheduler_bridge.stream")
    quiet(store, connection)
    (stream,) = store.lease_streams("one")
    assert [row.job for row in store.stream_rows(stream).jobs] == [job]


def test_a_history_in_which_nothing_changes_is_not_read(store: PostgresStore, connection: Connection) -> None:
    insert(connection, a_stream(a_job("quick")))
    quiet(store, connection)
    place = "select foreign_slice from scheduler_bridge.progress"
    before = connection.execute(place).fetchone()
    for _ in range(20):
        store.sweep(SECONDS)
    assert connection.execute(place).fetchone() == before
    assert connection.execute(LEFT).fetchone() == (0,)


def test_where_changes_are_not_counted_every_sweep_reads_a_slice(
    store: PostgresStore, connection: Connection, database: str
) -> None:
    insert(connection, a_stream(a_job("quick")))
    quiet(store, connection)
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    connection.execute(
        psycopg.sql.SQL("alter database {} set track_counts = off").format(psycopg.sql.Identifier(str(name)))
    )
    blind = PostgresStore(database)
    for _ in range(2):
        blind.sweep(SECONDS)
        assert connection.execute(LEFT).fetchone() == (9,)
    blind.close()
