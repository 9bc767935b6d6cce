"""From a row to a finished job, on a real bridge, real workers and real agent processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from tests.builders import a_job, a_stream, insert
from tests.conftest import Common
from tests.integration.fleet import (
    FAILS,
    NAPPER,
    QUICK,
    announce,
    configuration,
    ended,
    idle,
    row,
    started,
    until,
)

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

AGENTS = {"quick": QUICK, "nap": NAPPER, "fails": FAILS, "single": QUICK}
LIMITS = {"single": "max = 1\nspecial[] =\n"}


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(configuration(tmp_path / "conf", AGENTS, limits=LIMITS))


@pytest.fixture
def bridge(start_process: Start, config: str) -> Any:
    command = ["scheduler-bridge", "bridge"]
    return start_process("bridge", command, ready_text="bridge ready", SCHEDULER_BRIDGE_CONFIG=config)


@pytest.fixture
def worker(start_worker: Start, config: str) -> Any:
    return start_worker("w1", slots=4, SCHEDULER_BRIDGE_CONFIG=config)


@pytest.fixture(scope="module")
def one_worker(common: Common) -> Connection:
    """The database of a bridge and a worker that go on from test to test."""
    chosen = {"SCHEDULER_BRIDGE_CONFIG": str(configuration(common.folder / "conf", AGENTS, limits=LIMITS))}
    common.start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **chosen)
    common.start_worker("w1", slots=4, **chosen)
    return common.connection


@pytest.fixture(scope="module")
def two_workers(common: Common, one_worker: Connection) -> Connection:
    """The same with a second worker."""
    common.start_worker("w2", slots=4, SCHEDULER_BRIDGE_CONFIG=str(common.folder / "conf"))
    return one_worker


@pytest.fixture
def shared(one_worker: Connection) -> Connection:
    """The database of at least one worker, which has nothing to do."""
    idle(one_worker)
    return one_worker


@pytest.fixture
def shared_by_two(two_workers: Connection) -> Connection:
    """The same of two."""
    idle(two_workers)
    return two_workers


def test_a_stream_runs_in_the_order_of_its_dependencies(shared: Connection) -> None:
    stream = insert(
        shared,
        a_stream(
            a_job("quick", name="root", args="root"),
            a_job("quick", name="left", needs="root"),
            a_job("quick", name="right", needs="root"),
            a_job("quick", name="join", needs=("left", "right")),
        ),
    )
    announce(shared)
    assert ended(shared, *stream.jobs.values()) == ["Completed"] * 4
    rows = {name: row(shared, job) for name, job in stream.jobs.items()}
    for before, after in [("root", "left"), ("root", "right"), ("left", "join"), ("right", "join")]:
        assert rows[before]["jq_endtime"] <= rows[after]["jq_starttime"]
    assert {r["jq_itemsprocessed"] for r in rows.values()} == {4}
    assert {r["jq_end_bits"] for r in rows.values()} == {1}
    assert {r["jq_schedinfo"] for r in rows.values()} == {None}


def test_a_failed_job_fails_what_depends_on_it_and_nothing_else(shared: Connection) -> None:
    stream = insert(
        shared,
        a_stream(
            a_job("fails", args="the input"),
            a_job("quick", name="child", needs="fails"),
            a_job("quick", name="grandchild", needs="child"),
            a_job("quick", name="other"),
        ),
    )
    announce(shared)
    texts = dict(zip(stream.jobs, ended(shared, *stream.jobs.values()), strict=True))
    assert texts == {
        "fails": "Failed",
        "child": "dependency failed",
        "grandchild": "dependency failed",
        "other": "Completed",
    }
    tail = shared.execute(
        "select tail from scheduler_bridge.output where job = %s", [stream["fails"]]
    ).fetchone()
    assert tail is not None and b"cannot read the input" in bytes(tail[0])


def test_a_row_that_nobody_announces_is_found_by_the_sweep(
    worker: Any, connection: Connection, start_process: Start, config: str
) -> None:
    quick_sweeps = {"SCHEDULER_BRIDGE_CONFIG": config, "SCHEDULER_BRIDGE_SWEEP_SECONDS": "0.5"}
    start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **quick_sweeps)
    stream = insert(connection, a_stream(a_job("quick")))
    assert ended(connection, stream["quick"]) == ["Completed"]


def test_rows_appended_to_a_running_stream_run_too(shared: Connection) -> None:
    stream = insert(shared, a_stream(a_job("nap", args="1")))
    announce(shared)
    started(shared, stream["nap"])
    late = shared.execute(
        "insert into jobqueue (jq_job_fk, jq_type) values (%s, 'quick') returning jq_pk", [stream.stream]
    ).fetchone()
    assert late is not None
    shared.execute("insert into jobdepends values (%s, %s)", [late[0], stream["nap"]])
    announce(shared)
    assert ended(shared, stream["nap"], late[0]) == ["Completed", "Completed"]


def test_a_job_with_an_unknown_agent_type_fails_as_today(shared: Connection) -> None:
    stream = insert(shared, a_stream(a_job("nowhere"), a_job("quick")))
    announce(shared)
    assert ended(shared, *stream.jobs.values()) == ["Failed", "Completed"]


def test_a_cycle_fails_by_name_and_harms_nobody(shared: Connection) -> None:
    with shared.transaction():
        stream = insert(
            shared, a_stream(a_job("quick", name="a"), a_job("quick", name="b"), a_job("quick", name="c"))
        )
        shared.execute(
            "insert into jobdepends values (%s, %s), (%s, %s)",
            [stream["a"], stream["b"], stream["b"], stream["a"]],
        )
    announce(shared)
    texts = ended(shared, *stream.jobs.values())
    assert texts == [f"dependency cycle: {stream['a']} -> {stream['b']} -> {stream['a']}"] * 2 + ["Completed"]


def test_a_limit_over_all_hosts_is_kept(shared_by_two: Connection) -> None:
    stream = insert(shared_by_two, a_stream(*[a_job("single", name=f"s{n}") for n in range(8)]))
    announce(shared_by_two)
    assert ended(shared_by_two, *stream.jobs.values()) == ["Completed"] * 8
    overlapping = shared_by_two.execute(
        "select count(*) from jobqueue a join jobqueue b on a.jq_pk < b.jq_pk"
        " and a.jq_starttime < b.jq_endtime and b.jq_starttime < a.jq_endtime"
        " where a.jq_job_fk = %(stream)s and b.jq_job_fk = %(stream)s",
        {"stream": stream.stream},
    ).fetchone()
    assert overlapping == (0,)


def test_no_message_waits_in_a_busy_worker_while_another_is_idle(
    bridge: Any, connection: Connection, start_worker: Start, config: str
) -> None:
    start_worker("busy", slots=1, SCHEDULER_BRIDGE_CONFIG=config)
    long = insert(connection, a_stream(a_job("nap", args="60")))
    announce(connection)
    started(connection, long["nap"])
    short = insert(connection, a_stream(*[a_job("quick", name=f"q{n}") for n in range(6)]))
    announce(connection)
    proposed = "select count(*) from scheduler_bridge.open_job where proposed_at is not null"
    until(lambda: connection.execute(proposed).fetchone() == (6,), "the hints of the short jobs")
    start_worker("idle", slots=2, SCHEDULER_BRIDGE_CONFIG=config)
    assert ended(connection, *short.jobs.values()) == ["Completed"] * 6
    hosts = "select distinct host from scheduler_bridge.attempt where stream = %s"
    assert connection.execute(hosts, [short.stream]).fetchall() == [("idle",)]
    assert row(connection, long["nap"])["jq_endtext"] == "Started"


def test_a_job_bound_to_a_host_runs_there(shared_by_two: Connection) -> None:
    stream = insert(shared_by_two, a_stream(*[a_job("quick", name=f"q{n}", host="w2") for n in range(4)]))
    announce(shared_by_two)
    assert ended(shared_by_two, *stream.jobs.values()) == ["Completed"] * 4
    hosts = "select distinct host from scheduler_bridge.attempt where stream = %s"
    assert shared_by_two.execute(hosts, [stream.stream]).fetchall() == [("w2",)]


def test_a_worker_that_is_told_to_stop_returns_its_jobs_at_once(
    bridge: Any, connection: Connection, start_worker: Start, config: str
) -> None:
    first = start_worker("w1", slots=2, SCHEDULER_BRIDGE_CONFIG=config)
    stream = insert(connection, a_stream(a_job("nap", args="3")))
    announce(connection)
    started(connection, stream["nap"])
    agents = psutil.Process(first.container.pid).children(recursive=True)
    first.container.kill("SIGTERM")
    assert first.container.wait() == 0
    assert not any(agent.is_running() for agent in agents)
    returned = connection.execute("select ending from scheduler_bridge.attempt").fetchall()
    assert returned == [("returned",)]
    assert row(connection, stream["nap"])["jq_starttime"] is None
    start_worker("w2", slots=2, SCHEDULER_BRIDGE_CONFIG=config)
    assert ended(connection, stream["nap"]) == ["Completed"]
    attempts = "select host, epoch, ending from scheduler_bridge.attempt order by epoch"
    assert connection.execute(attempts).fetchall() == [("w1", 1, "returned"), ("w2", 2, "completed")]


def test_the_job_of_a_killed_worker_runs_again_elsewhere(
    connection: Connection, start_process: Start, start_worker: Start, config: str
) -> None:
    hasty = {
        "SCHEDULER_BRIDGE_CONFIG": config,
        "SCHEDULER_BRIDGE_SWEEP_SECONDS": "0.5",
        "SCHEDULER_BRIDGE_LEASE_SECONDS": "2",
    }
    start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **hasty)
    first = start_worker("w1", slots=2, **hasty)
    stream = insert(connection, a_stream(a_job("nap", args="1"), a_job("quick", needs="nap")))
    announce(connection)
    started(connection, stream["nap"])
    agents = psutil.Process(first.container.pid).children(recursive=True)
    os.kill(first.container.pid, signal.SIGKILL)
    start_worker("w2", slots=2, **hasty)
    assert ended(connection, *stream.jobs.values()) == ["Completed", "Completed"]
    endings = connection.execute(
        "select ending from scheduler_bridge.attempt where job = %s order by epoch", [stream["nap"]]
    ).fetchall()
    assert endings == [("lost",), ("completed",)]
    _, alive = psutil.wait_procs(
        agents, timeout=10
    )  # nobody reads them any more: they see the end of their pipes
    assert not alive


def test_an_emptied_broker_delays_and_loses_nothing(
    connection: Connection, start_process: Start, worker: Any, config: str, redis_url: str
) -> None:
    stream = insert(connection, a_stream(*[a_job("quick", name=f"q{n}") for n in range(30)]))
    hasty = {"SCHEDULER_BRIDGE_CONFIG": config, "SCHEDULER_BRIDGE_SWEEP_SECONDS": "0.5"}
    start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **hasty)
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(20):
            client.flushall()
    assert ended(connection, *stream.jobs.values()) == ["Completed"] * 30
    doubled = (
        "select job from scheduler_bridge.attempt where ending = 'completed' group by job having count(*) > 1"
    )
    assert connection.execute(doubled).fetchall() == []


def test_two_bridges_share_streams_and_double_nothing(
    connection: Connection, start_process: Start, worker: Any, config: str
) -> None:
    for name in ("b1", "b2"):
        start_process(
            name, ["scheduler-bridge", "bridge"], ready_text="bridge ready", SCHEDULER_BRIDGE_CONFIG=config
        )
    jobs: list[int] = []
    for _ in range(10):
        stream = insert(connection, a_stream(a_job("quick", name="a"), a_job("quick", name="b", needs="a")))
        jobs += stream.jobs.values()
        announce(connection)
    assert ended(connection, *jobs) == ["Completed"] * 20
    assert connection.execute("select count(*) from scheduler_bridge.attempt").fetchone() == (20,)
