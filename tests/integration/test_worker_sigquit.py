"""A worker that is not to wait for anything: SIGQUIT, or told once more while it waits for its agents' grace."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import NAPPER, announce, configuration, ended, row, started, until
from tests.toy import AGENTS as TOYS
from tests.toy import assert_gone

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

AT_ONCE_SECONDS = 3.0
DOUBLED_SECONDS = 2.0  # as in tasks/ending.py, which only a worker imports
GRACE_SECONDS = 20.0
HASTENED = "without any grace"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    toys = {"stubborn": "ignores_signals", "lingering": "stubborn_legacy"}
    agents = {"nap": NAPPER, **{name: (TOYS / toy).read_text() for name, toy in toys.items()}}
    folder = configuration(tmp_path / "conf", agents)
    return {
        "SCHEDULER_BRIDGE_CONFIG": str(folder),
        "SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": f"{GRACE_SECONDS:g}",
    }


@pytest.fixture
def bridge(start_process: Start, variables: dict[str, str]) -> Any:
    return start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)


def a_running_job(connection: Connection, agent_type: str) -> int:
    job = insert(connection, a_stream(a_job(agent_type, args="60")))[agent_type]
    announce(connection)
    started(connection, job)
    return job


def leaders(worker: Any) -> list[int]:
    """The agents of a worker; each leads a group of the same number."""
    return [agent.pid for agent in psutil.Process(worker.container.pid).children()]


def assert_returned(connection: Connection, *jobs: int) -> None:
    for job in jobs:
        found = row(connection, job)
        assert [found[f"jq_{name}"] for name in ("starttime", "endtime", "endtext", "schedinfo")] == [
            None
        ] * 4
    endings = connection.execute("select ending from scheduler_bridge.attempt").fetchall()
    assert endings == [("returned",)] * len(jobs)


def test_sigquit_ends_agents_and_worker_at_once_and_gives_the_jobs_back(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    worker = start_worker("w1", **variables)
    jobs = [a_running_job(connection, name) for name in ("nap", "stubborn")]
    agents = leaders(worker)
    assert len(agents) == 2
    worker.container.kill("SIGQUIT")
    worker.container.wait(AT_ONCE_SECONDS)
    for agent in agents:
        assert_gone(agent)
    assert_returned(connection, *jobs)
    assert "Traceback" not in worker.container.logs()


def test_sigquit_leaves_an_agent_that_waits_for_its_next_job_no_grace_either(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    worker = start_worker("w1", **variables)
    job = insert(connection, a_stream(a_job("lingering", args="1")))["lingering"]
    announce(connection)
    assert ended(connection, job) == ["Completed"]
    (agent,) = leaders(worker)
    worker.container.kill("SIGQUIT")
    worker.container.wait(2 * AT_ONCE_SECONDS)
    assert_gone(agent)


@pytest.mark.parametrize(
    "told",
    [
        ("SIGTERM", "SIGQUIT", 0.0),
        ("SIGINT", "SIGINT", 0.0),
        ("SIGTERM", "SIGTERM", DOUBLED_SECONDS),
        ("SIGTERM", "SIGINT", DOUBLED_SECONDS),
    ],
    ids=lambda told: f"{told[0]}-{told[1]}",
)
def test_a_worker_that_waits_for_its_agents_stops_waiting_when_it_is_told_again(
    told: tuple[str, str, float],
    bridge: Any,
    connection: Connection,
    start_worker: Start,
    variables: dict[str, str],
) -> None:
    first, then, seconds_between = told
    worker = start_worker("w1", **variables)
    job = a_running_job(connection, "stubborn")
    (agent,) = leaders(worker)
    worker.container.kill(first)
    until(lambda: "Warm shutdown" in worker.container.logs(), "the worker to be told")
    over = time.monotonic() + seconds_between
    until(lambda: time.monotonic() > over, "the time in which a signal is passed on")
    worker.container.kill(then)
    worker.container.wait(AT_ONCE_SECONDS)
    assert_gone(agent)
    assert_returned(connection, job)
    assert "Traceback" not in worker.container.logs()


def test_a_signal_that_comes_twice_at_once_leaves_agents_their_grace(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    worker = start_worker("w1", **variables | {"SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": "1"})
    job = a_running_job(connection, "stubborn")
    worker.container.kill("SIGTERM")
    until(lambda: "Warm shutdown" in worker.container.logs(), "the worker to be told")
    worker.container.kill("SIGTERM")
    worker.container.wait(1 + AT_ONCE_SECONDS)
    assert_returned(connection, job)
    assert HASTENED not in worker.container.logs()
