"""The store under test: each test of `queue` runs over memory and over PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.contract.fleet import configure
from tests.contract.queues import MemorySide, PostgresSide, Queue, emptied


@pytest.fixture(scope="session")
def shared_database(postgres_server: str) -> Iterator[tuple[str, psycopg.Connection[Any]]]:
    """URL of one database for many tests, and a connection; a copy for each would cost ten times the test."""
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as maintenance:
        maintenance.execute("create database contract template template_bridge")
    url = f"{postgres_server}/contract"
    with psycopg.connect(url, autocommit=True) as connection:
        yield url, connection


@pytest.fixture
def contract_database(shared_database: tuple[str, psycopg.Connection[Any]]) -> str:
    """Its URL, with nothing in it."""
    url, connection = shared_database
    emptied(connection)
    return url


@pytest.fixture(params=["memory", "postgres"])
def make_queue(request: pytest.FixtureRequest) -> Iterator[Callable[..., Queue]]:
    """Make an unconfigured store on an empty queue: `make_queue(window=3)`; one a test."""
    made: list[PostgresSide] = []

    def make(*, window: int = 0) -> Queue:
        if request.param == "memory":
            return MemorySide(window=window)
        url, connection = request.getfixturevalue("shared_database")
        emptied(connection)
        made.append(PostgresSide(url, connection, window=window))
        return made[-1]

    yield make
    for side in made:
        side.postgres.close()


@pytest.fixture
def queue(make_queue: Callable[..., Queue]) -> Queue:
    """A configured store on an empty queue."""
    made = make_queue()
    configure(made.store)
    return made
