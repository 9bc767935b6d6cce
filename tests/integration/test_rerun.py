"""Running again what failed: its rows, its dependents, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scheduler_bridge.model.agents import AgentType, Host, Retry
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from scheduler_bridge.store.postgres import PostgresStore
from tests.builders import a_job, a_stream, insert
from tests.contract.steps import COMPLETED, FAILED, plan
from tests.integration.fleet import until

Connection = psycopg.Connection[Any]
TWICE = Retry(2, frozenset({Ending.FAILED}))


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    store = PostgresStore(database)
    types = [AgentType(name, (name,), Path(), retry=TWICE) for name in ("unpack", "license")]
    store.publish_configuration(types, [Host("h1", 9)])
    store.register_host(Host("h1", 9), "w", ["unpack", "license"])
    yield store
    store.close()


def attempt(store: PostgresStore, job: int, outcome: Outcome) -> None:
    work = store.claim(job, "w", "h1")
    assert isinstance(work, Work)
    assert store.started(work, 4711)
    assert store.finish(work, outcome)
    store.startable(work)


def rerun(connection: Connection, stream: int) -> int:
    return both(connection, stream)[0]


def both(connection: Connection, stream: int) -> tuple[int, int]:
    """How many jobs wait again, and how many are left out."""
    ((again, left_out),) = connection.execute("select * from scheduler_bridge.rerun_failed(%s)", [stream])
    return again, left_out


def states(connection: Connection, *jobs: int) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select jq_endtext, jq_end_bits, jq_starttime is null from jobqueue where jq_pk = any(%s) order by jq_pk",
        [list(jobs)],
    ).fetchall()


def test_what_failed_and_what_depends_on_it_runs_again(store: PostgresStore, connection: Connection) -> None:
    first = insert(
        connection,
        a_stream(
            a_job("unpack", name="good"),
            a_job("unpack", name="bad"),
            a_job("license", name="after", needs=("good", "bad")),
        ),
    )
    second = insert(connection, a_stream(a_job("license", needs=first["after"])))
    plan(store)
    attempt(store, first["good"], COMPLETED)
    for _ in range(2):
        attempt(store, first["bad"], FAILED)
    jobs = [*first.jobs.values(), *second.jobs.values()]
    doomed = ("dependency failed", 2, True)
    assert states(connection, *jobs) == [("Completed", 1, False), ("Failed", 2, False), doomed, doomed]

    assert rerun(connection, first.stream) == 3
    assert states(connection, *jobs) == [("Completed", 1, False), *[(None, 0, True)] * 3]
    assert [first["bad"]] in [line[:1] for line in plan(store)]
    for _ in range(2):
        assert states(connection, first["bad"]) == [(None, 0, True)], "the policy's attempts count anew"
        attempt(store, first["bad"], FAILED)
    assert states(connection, first["bad"]) == [("Failed", 2, False)]

    assert rerun(connection, first.stream) == 3
    plan(store)
    attempt(store, first["bad"], COMPLETED)
    attempt(store, first["after"], COMPLETED)
    attempt(store, second["license"], COMPLETED)
    assert states(connection, *jobs) == [("Completed", 1, False)] * 4


def test_a_stream_without_failures_stays_as_it_is(store: PostgresStore, connection: Connection) -> None:
    stream = insert(connection, a_stream(a_job("unpack"), a_job("license")))
    plan(store)
    attempt(store, stream["unpack"], COMPLETED)
    assert rerun(connection, stream.stream) == 0
    assert states(connection, *stream.jobs.values()) == [("Completed", 1, False), (None, 0, True)]


def test_a_killed_job_whose_agent_is_still_being_ended_is_left_out_with_what_depends_on_it(
    store: PostgresStore, connection: Connection
) -> None:
    jobs = [a_job("unpack"), a_job("license", needs="unpack"), a_job("unpack", name="other")]
    stream = insert(connection, a_stream(*jobs))
    plan(store)
    for _ in range(2):
        attempt(store, stream["other"], FAILED)
    work = store.claim(stream["unpack"], "w", "h1")
    assert isinstance(work, Work)
    store.started(work, 4711)
    connection.execute("select scheduler_bridge.kill_job(%s, 'no more')", [work.job])
    assert both(connection, stream.stream) == (1, 2)
    assert states(connection, stream["other"], work.job) == [("no more", 2, False), (None, 0, True)]
    assert store.finish(work, Outcome(Ending.LOST, reason="the claim is gone"))
    assert both(connection, stream.stream) == (2, 0)
    assert states(connection, *stream.jobs.values()) == [(None, 0, True)] * 3


@pytest.mark.parametrize("rerun_first", [True, False])
def test_a_stream_that_is_closed_while_it_is_run_again_is_planned(
    store: PostgresStore, connection: Connection, database: str, rerun_first: bool
) -> None:
    stream = insert(connection, a_stream(a_job("unpack")))
    plan(store)
    attempt(store, stream["unpack"], FAILED)
    connection.execute("update scheduler_bridge.open_job set not_before = null, obstacle = null")
    attempt(store, stream["unpack"], FAILED)
    connection.execute("update scheduler_bridge.stream set leased_until = '-infinity'")
    acts = [
        "select scheduler_bridge.rerun_failed(%s)",
        "select scheduler_bridge.close_streams() where %s > 0",
    ]
    with (
        psycopg.connect(database) as one,
        psycopg.connect(database) as other,
        ThreadPoolExecutor(1) as thread,
    ):
        first, second = acts if rerun_first else reversed(acts)
        one.execute(first.encode(), [stream.stream])
        waiting = thread.submit(other.execute, second.encode(), [stream.stream])
        until(lambda: is_blocked(connection, other) or waiting.done(), "the second to wait for the first")
        one.commit()
        waiting.result()
        other.commit()
    assert plan(store) == [[stream["unpack"]]]


def is_blocked(connection: Connection, other: Connection) -> bool:
    row = connection.execute("select pg_blocking_pids(%s) <> '{}'", [other.info.backend_pid]).fetchone()
    return row == (True,)
