"""Orders that are written to the rows reach the agent's whole group at once, and a silent channel only delays them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.builders import a_job, a_stream, insert
from tests.conftest import Common
from tests.integration.fleet import announce, configuration, ended, idle, row, until

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

DEATH_SECONDS = 2
AT_ONCE_SECONDS = 1.0  # a busy machine; without an event it would take ten
# A child of its own, and silence but for a heartbeat each half second. Ends after as many seconds as its data says.
FAMILY = """#!/usr/bin/env python3
import subprocess, sys, time
print("VERSION: 1\\nOK", flush=True)
child = subprocess.Popen(["sleep", "1000"])
seconds = float(sys.stdin.readline())
end = time.monotonic() + seconds
while time.monotonic() < end:
    print("HEART: 1 1", flush=True)
    time.sleep(0.5)
child.kill()
print("BYE 0", flush=True)
"""

# Works on one item after the other, and notes each in a file beside it; nothing polite ends it.
COUNTS = """#!/usr/bin/env python3
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_IGN)
print("VERSION: 1\\nOK", flush=True)
sys.stdin.readline()
items = 0
while True:
    items += 1
    with open("items", "a") as file:
        file.write(".")
    print(f"HEART: {items} 1", flush=True)
    time.sleep(0.01)
"""
GRACE_SECONDS = 2.0


def counted(variables: dict[str, str]) -> Path:
    """The file in which `counts` notes its items."""
    return Path(variables["SCHEDULER_BRIDGE_CONFIG"]) / "mods-enabled/counts/agent/items"


def family_folder(folder: Path) -> dict[str, str]:
    """Variables of processes that read a configuration folder with both agent types and hasty timers."""
    folder = configuration(folder / "conf", {"family": FAMILY, "counts": COUNTS})
    timers = f"agent_death_timer = {DEATH_SECONDS}\nagent_update_interval = {DEATH_SECONDS}\n"
    (folder / "fossology.conf").write_text(f"[SCHEDULER]\n{timers}")
    (folder / "Db.conf").write_text("dbname=unused;\n")
    return {"SCHEDULER_BRIDGE_CONFIG": str(folder)}


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return family_folder(tmp_path)


@pytest.fixture
def bridge(start_process: Start, variables: dict[str, str]) -> Any:
    return start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)


@pytest.fixture
def worker(start_worker: Start, variables: dict[str, str]) -> Any:
    return start_worker("w1", **variables)


@pytest.fixture(scope="module")
def common_worker(common: Common) -> Any:
    """One that goes on from test to test, with a bridge."""
    variables = family_folder(common.folder)
    common.start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)
    return common.start_worker("w1", **variables)


@pytest.fixture
def idle_worker(common_worker: Any, common: Common) -> Any:
    """The same with nothing to do."""
    idle(common.connection)
    return common_worker


def a_family(connection: Connection, worker: Any, seconds: float = 60) -> tuple[int, list[psutil.Process]]:
    """A running job, and its agent with all that it has started."""
    stream = insert(connection, a_stream(a_job("family", args=str(seconds))))
    announce(connection)
    job = stream["family"]
    until(lambda: row(connection, job)["jq_itemsprocessed"], "the first heartbeat to arrive in the row")
    processes = psutil.Process(worker.container.pid).children(recursive=True)
    assert sorted(process.name() for process in processes) == ["python3", "sleep"]
    return job, processes


def order(connection: Connection, function: str, *arguments: object) -> None:
    """Give it; the answer says that there is such a job."""
    marks = ", ".join(["%s"] * len(arguments))
    query = f"select scheduler_bridge.{function}({marks})".encode()
    (known,) = connection.execute(query, arguments).fetchone() or (False,)
    assert known


def state(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return "gone"


def all_are(processes: list[psutil.Process], *states: str) -> Callable[[], bool]:
    return lambda: all(state(process) in states for process in processes)


def test_a_kill_reaches_the_whole_group_at_once(idle_worker: Any, common: Common) -> None:
    job, processes = a_family(common.connection, idle_worker)
    order(common.connection, "kill_job", job, "not needed")
    until(all_are(processes, "gone", psutil.STATUS_ZOMBIE), "the end of the group", AT_ONCE_SECONDS)
    assert row(common.connection, job)["jq_endtext"] == "not needed"
    assert row(common.connection, job)["jq_end_bits"] == 2


def test_the_workers_log_says_that_an_operator_has_killed_a_job_and_shows_no_error(
    idle_worker: Any, common: Common
) -> None:
    job, _ = a_family(common.connection, idle_worker)
    order(common.connection, "kill_job", job, "not needed")
    until(
        lambda: f"job {job} (family): lost killed by an operator: not needed" in idle_worker.container.logs(),
        "the end of the job in the log",
    )
    lines = [line for line in idle_worker.container.logs().splitlines() if f"job {job}" in line]
    assert any(f"job {job} is killed by an operator: not needed" in line for line in lines)
    assert [line for line in lines if "ERROR" in line or "lease" in line] == []


def test_a_pause_stops_the_whole_group_and_its_timers_until_a_restart(
    idle_worker: Any, common: Common
) -> None:
    job, processes = a_family(common.connection, idle_worker, DEATH_SECONDS)
    common.connection.execute("update jobqueue set jq_endtext = 'Paused' where jq_pk = %s", [job])
    common.connection.execute("select pg_notify('scheduler_bridge_orders', '')")
    until(all_are(processes, psutil.STATUS_STOPPED), "the group to stop", AT_ONCE_SECONDS)
    ends_at = time.monotonic() + 2.5 * DEATH_SECONDS
    until(lambda: time.monotonic() > ends_at, "longer than any timer")
    assert all_are(processes, psutil.STATUS_STOPPED)()
    slots = "select count(*) from scheduler_bridge.attempt where ended_at is null and host = 'w1'"
    assert common.connection.execute(slots).fetchone() == (1,)
    order(common.connection, "restart_job", job)
    until(lambda: psutil.STATUS_STOPPED not in map(state, processes), "the group to go on", AT_ONCE_SECONDS)
    assert ended(common.connection, job) == ["Completed"]


def test_a_paused_job_can_be_killed(idle_worker: Any, common: Common) -> None:
    job, processes = a_family(common.connection, idle_worker)
    order(common.connection, "pause_job", job)
    until(all_are(processes, psutil.STATUS_STOPPED), "the group to stop", AT_ONCE_SECONDS)
    order(common.connection, "kill_job", job, "enough")
    until(all_are(processes, "gone", psutil.STATUS_ZOMBIE), "the end of the group", AT_ONCE_SECONDS)
    assert ended(common.connection, job) == ["enough"]


def test_a_paused_job_survives_that_its_worker_is_told_to_stop(
    bridge: Any, worker: Any, connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    job, processes = a_family(connection, worker, 1)
    order(connection, "pause_job", job)
    until(all_are(processes, psutil.STATUS_STOPPED), "the group to stop", AT_ONCE_SECONDS)
    worker.container.kill("SIGTERM")
    assert worker.container.wait() == 0
    assert all_are(processes, "gone", psutil.STATUS_ZOMBIE)()
    start_worker("w2", **variables)
    order(connection, "restart_job", job)
    announce(connection)
    assert ended(connection, job) == ["Completed"]


def test_a_paused_job_does_not_work_while_its_worker_stops_and_stays_paused(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    grace = {"SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": f"{GRACE_SECONDS:g}"}
    worker = start_worker("w1", **variables | grace)
    stream = insert(connection, a_stream(a_job("counts")))
    announce(connection)
    job = stream["counts"]
    until(lambda: row(connection, job)["jq_itemsprocessed"], "the first heartbeat to arrive in the row")
    (agent,) = psutil.Process(worker.container.pid).children()
    order(connection, "pause_job", job)
    until(all_are([agent], psutil.STATUS_STOPPED), "the agent to stop", AT_ONCE_SECONDS)
    items = len(counted(variables).read_text())
    worker.container.kill("SIGTERM")
    assert worker.container.wait() == 0
    assert state(agent) in ("gone", psutil.STATUS_ZOMBIE)
    assert len(counted(variables).read_text()) == items
    found = row(connection, job)
    assert (found["jq_endtext"], found["jq_endtime"], found["jq_schedinfo"]) == ("Paused", None, None)
    start = "select jq_starttime = '9999-12-31' from jobqueue where jq_pk = %s"
    assert connection.execute(start, [job]).fetchone() == (True,)
    assert connection.execute("select ending from scheduler_bridge.attempt").fetchall() == [("returned",)]


def test_orders_arrive_with_the_renewals_when_the_channel_is_cut(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str]
) -> None:
    worker = start_worker("w1", **variables, SCHEDULER_BRIDGE_LEASE_SECONDS="3")
    job, processes = a_family(connection, worker)
    listening = "where query = 'listen scheduler_bridge_orders' and datname = current_database()"
    found = connection.execute(
        f"select count(pg_terminate_backend(pid)) from pg_stat_activity {listening}".encode()
    ).fetchone()
    assert found == (1,)
    order(connection, "kill_job", job, "still")
    until(all_are(processes, "gone", psutil.STATUS_ZOMBIE), "the end of the group", 3 + AT_ONCE_SECONDS)
    listens = f"select count(*) from pg_stat_activity {listening}".encode()
    until(lambda: connection.execute(listens).fetchone() == (1,), "the worker to listen again")
    assert "Traceback" not in worker.container.logs()
