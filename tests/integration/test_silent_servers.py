"""Processes that are told to end while a server takes their connections and answers nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.integration.fleet import passed, row, small_fleet, until
from tests.integration.outages import COMMANDS, READY, Start, naps, starter
from tests.proxy import Proxy

Connection = psycopg.Connection[Any]

AT_ONCE_SECONDS = 4.0
SOME_LOOKS_SECONDS = 1.0  # at the rows, one of which waits then
END_SECONDS = 13.0  # the grace of 2 s, what writing and leaving may take, 5 s for the main thread


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return small_fleet(tmp_path)


@pytest.fixture
def start(
    start_process: Any,
    variables: dict[str, str],
    database_proxy: Proxy,
    broker_proxy: Proxy,
    database: str,
    redis_url: str,
) -> Start:
    """Start one of COMMANDS on servers that may fall silent for it alone."""
    ways = {"DATABASE_URL": database_proxy.way_to(database), "REDIS_URL": broker_proxy.way_to(redis_url)}
    return starter(start_process, {**variables, **ways})


def test_a_worker_ends_its_agents_at_once_and_itself_soon_while_the_broker_is_silent(
    start: Start, start_process: Any, variables: dict[str, str], broker_proxy: Proxy, connection: Connection
) -> None:
    worker = start("worker", READY["worker"])
    starter(start_process, variables)("bridge", READY["bridge"])
    (job,) = naps(connection, 60)
    agents = psutil.Process(worker.pid).children()
    broker_proxy.freeze()
    worker.kill("SIGTERM")
    assert agents and psutil.wait_procs(agents, AT_ONCE_SECONDS)[1] == []
    until(lambda: row(connection, job)["jq_starttime"] is None, "the job to be free", AT_ONCE_SECONDS)
    assert worker.wait(END_SECONDS) == 0


def test_housekeeping_ends_soon_while_the_broker_is_silent(start: Start, broker_proxy: Proxy) -> None:
    worker = start("housekeeping", READY["housekeeping"])
    broker_proxy.freeze()
    passed(1.0)
    worker.kill("SIGTERM")
    assert worker.wait(END_SECONDS) == 0


@pytest.mark.parametrize("before", [(), ("SIGHUP",)])
def test_a_bridge_ends_soon_while_the_database_is_silent(
    start: Start, database_proxy: Proxy, before: tuple[str, ...]
) -> None:
    bridge = start("bridge", READY["bridge"])
    database_proxy.freeze()
    passed(SOME_LOOKS_SECONDS)
    for signal in (*before, "SIGTERM"):
        bridge.kill(signal)
    assert bridge.wait(END_SECONDS) == 0
    assert "stopped without waiting for an answer" in bridge.logs()


def test_a_bridge_that_has_no_output_ends_as_soon(
    start_process: Any, variables: dict[str, str], database_proxy: Proxy, database: str
) -> None:
    own = {**variables, "DATABASE_URL": database_proxy.way_to(database)}
    without = ["sh", "-c", 'exec "$@" >&-', "sh", *COMMANDS["bridge"]]
    bridge = start_process("bridge", without, ready_text=READY["bridge"], **own)
    database_proxy.freeze()
    passed(SOME_LOOKS_SECONDS)
    bridge.kill("SIGTERM")
    assert bridge.wait(END_SECONDS) == 0
