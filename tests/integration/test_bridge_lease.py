"""A stream that is being planned belongs to a bridge for as long as its connection lives."""

from __future__ import annotations

import psycopg

from scheduler_bridge.store.postgres import PostgresStore
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import until

ALONE = "select count(*) = 1 from pg_stat_activity where datname = current_database()"


def test_a_bridge_whose_connection_has_ended_holds_no_stream(
    database: str, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    first, second = PostgresStore(database), PostgresStore(database)
    stream = insert(connection, a_stream(a_job("quick"))).stream
    first.observe()
    assert first.lease_streams("one") == [stream]
    assert second.lease_streams("two") == []
    second.close()
    first.close()
    until(lambda: connection.execute(ALONE).fetchone() == (True,), "the end of the connections")
    third = PostgresStore(database)
    assert third.lease_streams("three") == [stream]
    third.close()
