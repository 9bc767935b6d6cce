"""The store under test: each test of `queue` runs over memory and over PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.contract.queues import MemorySide, PostgresSide, Queue, configure


@pytest.fixture(params=["memory", "postgres"])
def make_queue(request: pytest.FixtureRequest) -> Iterator[Callable[..., Queue]]:
    """Make an unconfigured store on an empty queue: `make_queue(window=3)`; one a test."""
    made: list[PostgresSide] = []

    def make(*, window: int = 0) -> Queue:
        if request.param == "memory":
            return MemorySide(window=window)
        url, connection = request.getfixturevalue("database"), request.getfixturevalue("connection")
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
