"""Servers for tests that stop them, and a queue for tests that ask the auditor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scheduler_bridge.servers import Server
from tests.contract.fleet import configure
from tests.contract.queues import PostgresSide
from tests.integration.outages import Broker, Database, a_database, mortal_postgres
from tests.proxy import Proxy, in_front_of


@pytest.fixture(scope="session")
def mortal_server(data_folder: Path) -> Iterator[Server]:
    """The session's second PostgreSQL; tests ask for `own_database`."""
    with mortal_postgres(data_folder / "mortal") as server:
        yield server


@pytest.fixture
def own_database(mortal_server: Server) -> Iterator[Database]:
    """A database of this test's own on a server that it may stop."""
    with a_database(mortal_server) as database:
        yield database


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A Valkey that the test may stop."""
    broker = Broker(tmp_path / "broker")
    yield broker
    broker.close()


@pytest.fixture
def database_proxy(database: str) -> Iterator[Proxy]:
    """In front of the test's database, for those who are told to go that way."""
    with in_front_of(database) as proxy:
        yield proxy


@pytest.fixture
def broker_proxy(redis_url: str) -> Iterator[Proxy]:
    """In front of the broker, likewise."""
    with in_front_of(redis_url) as proxy:
        yield proxy


@pytest.fixture
def queue(database: str, connection: psycopg.Connection[Any]) -> Iterator[PostgresSide]:
    """A configured store on an empty queue."""
    made = PostgresSide(database, connection)
    configure(made.store)
    yield made
    made.postgres.close()
