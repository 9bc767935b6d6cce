"""The command port of a real bridge over real rows: what web pages send, and what it does to running agents."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.builders import Inserted, a_job, a_stream, insert
from tests.integration.fleet import FAILS, NAPPER, QUICK, configuration, ended, row, started, until
from tests.integration.fleet import ask as reply_to

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]
AGENTS = {"quick": QUICK, "nap": NAPPER, "fails": FAILS}
BRIDGE = ["scheduler-bridge", "bridge"]
OPEN = re.compile(r"commands are taken on port (\d+)")


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(configuration(tmp_path / "conf", AGENTS))


@pytest.fixture
def start_bridge(start_process: Start, config: str) -> Start:
    def start(**variables: str) -> Any:
        given = {"SCHEDULER_BRIDGE_CONFIG": config, **variables}
        return start_process("bridge", BRIDGE, ready_text="bridge ready", **given)

    return start


@pytest.fixture
def port(start_bridge: Start) -> int:
    """The command port of a running bridge."""
    return port_of(start_bridge())


@pytest.fixture
def worker(start_worker: Start, config: str) -> Any:
    return start_worker("w1", slots=4, SCHEDULER_BRIDGE_CONFIG=config)


def port_of(bridge: Any) -> int:
    found = OPEN.search(bridge.log.read_text())
    assert found, bridge.log.read_text()
    return int(found[1])


def ask(port: int, command: str) -> str:
    return reply_to(port, command.encode()).decode()


def some(connection: Connection, *jobs: Any, **columns: Any) -> Inserted:
    return insert(connection, a_stream(*jobs, **columns))


def processes_of(connection: Connection, job: int) -> psutil.Process:
    """The agent that runs a job."""

    def pid() -> int | None:
        found = connection.execute(
            "select agent_pid from scheduler_bridge.attempt where job = %s and ended_at is null", [job]
        ).fetchone()
        return found[0] if found else None

    return psutil.Process(until(pid, f"the agent of job {job}"))


def test_a_status_after_database_lists_the_new_jobs(port: int, connection: Connection) -> None:
    assert re.fullmatch(
        rf"received\nscheduler:\d+ revision:unknown daemon:0 jobs:0 log:stderr port:{port} verbose:1\nend\n\0",
        ask(port, "status"),
    )
    stream = some(connection, a_job("nap"), a_job("quick", needs="nap"))
    assert ask(port, "database") == "received\n"
    assert [int(job) for job in re.findall(r"job:(\d+) ", ask(port, "status"))] == list(stream.jobs.values())
    waiting = rf"job:{stream['nap']} status:JOB_CHECKEDOUT type:nap, priority:0 running:0 finished:0 failed:0"
    assert re.search(waiting, ask(port, "status"))


def test_the_database_command_starts_jobs_at_once(port: int, worker: Any, connection: Connection) -> None:
    stream = some(connection, a_job("quick", args="x"))
    ask(port, "database")
    assert ended(connection, stream["quick"]) == ["Completed"]
    assert ask(port, "agents") == "received\nfails nap quick \nend\n"
    assert ask(port, "load") == "received\nhost:w1 address:w1 max:4 running:0\n\nend\n"


def test_a_paused_job_that_waits_never_runs_until_it_is_let_go_on(
    port: int, worker: Any, connection: Connection
) -> None:
    stream = some(connection, a_job("quick", name="paused"), a_job("quick", name="free"))
    ask(port, f"pause {stream['paused']}")
    ask(port, "database")
    assert ended(connection, stream["free"]) == ["Completed"]
    found = row(connection, stream["paused"])
    assert (found["jq_starttime"].year, found["jq_endtext"], found["jq_end_bits"]) == (9999, "Paused", 0)
    assert f"job:{stream['paused']} status:JOB_PAUSED" in ask(port, "status")
    ask(port, f"restart {stream['paused']}")
    assert ended(connection, stream["paused"]) == ["Completed"]


def test_a_killed_job_that_waits_keeps_its_text_and_fails_what_depends_on_it(
    port: int, connection: Connection
) -> None:
    stream = some(
        connection,
        a_job("quick", name="a"),
        a_job("quick", name="b", needs="a"),
        a_job("quick", name="c", needs="b"),
    )
    ask(port, f"kill {stream['a']} \"O'Brien'; drop table job; -- did it\"")
    texts = [row(connection, job)["jq_endtext"] for job in stream.jobs.values()]
    assert texts == ["O'Brien'; drop table job; -- did it", "dependency failed", "dependency failed"]
    assert {row(connection, job)["jq_end_bits"] for job in stream.jobs.values()} == {2}


def test_a_kill_of_a_job_that_has_ended_changes_nothing(
    port: int, worker: Any, connection: Connection
) -> None:
    stream = some(connection, a_job("quick"))
    ask(port, "database")
    assert ended(connection, stream["quick"]) == ["Completed"]
    before = row(connection, stream["quick"])
    ask(port, f'kill {stream["quick"]} "too late"')
    assert row(connection, stream["quick"]) == before


def test_a_kill_reaches_a_running_agent_at_once(port: int, worker: Any, connection: Connection) -> None:
    stream = some(connection, a_job("nap", args="60"), a_job("quick", needs="nap"))
    ask(port, "database")
    agent = processes_of(connection, stream["nap"])
    started(connection, stream["nap"])
    shown = ask(port, f"status {stream['nap']}")
    assert (
        f"job:{stream['nap']} status:JOB_STARTED type:nap, priority:0 running:1 finished:0 failed:0" in shown
    )
    assert f"agent:{agent.pid} host:w1 type:nap status:AGENT_RUNNING time:" in shown
    ask(port, f'kill {stream["nap"]} "Killed by Anna"')
    agent.wait(5)
    assert ended(connection, *stream.jobs.values()) == ["Killed by Anna", "dependency failed"]
    assert (
        ask(port, f"status {stream['nap']}") == f"received\nERROR: invalid job id = {stream['nap']}\nend\n\0"
    )


def test_a_running_job_is_paused_where_it_is_and_goes_on(
    port: int, worker: Any, connection: Connection
) -> None:
    stream = some(connection, a_job("nap", args="1"))
    ask(port, "database")
    agent = processes_of(connection, stream["nap"])
    started(connection, stream["nap"])
    ask(port, f"pause {stream['nap']}")
    until(lambda: agent.status() == psutil.STATUS_STOPPED, "the stop")
    assert row(connection, stream["nap"])["jq_endtext"] == "Paused"
    assert "AGENT_PAUSED" in ask(port, f"status {stream['nap']}")
    ask(port, f"restart {stream['nap']}")
    assert row(connection, stream["nap"])["jq_endtext"] == "Restarted"
    assert ended(connection, stream["nap"]) == ["Completed"]


def test_a_priority_counts_for_waiting_and_running_jobs_of_the_stream(
    port: int, worker: Any, connection: Connection
) -> None:
    stream = some(connection, a_job("nap", args="60"), a_job("quick", needs="nap"), priority=3)
    ask(port, "database")
    agent = processes_of(connection, stream["nap"])
    ask(port, f"priority {stream['nap']} -5")
    until(lambda: agent.nice() == 5, "the nice value")
    assert ask(port, "status").count("priority:-5") == 2
    ask(port, f'kill {stream["nap"]} "enough"')


def test_a_second_bridge_takes_the_port_over_when_the_first_has_gone(start_bridge: Start) -> None:
    first = start_bridge()
    port = port_of(first)
    second = start_bridge(SCHEDULER_BRIDGE_PORT=str(port))
    assert "taken over when it is free" in second.log.read_text()
    first.kill()
    until(lambda: OPEN.search(second.log.read_text()), "the port")
    assert f"port:{port}" in ask(port, "status")


def test_a_bridge_refuses_to_start_beside_another_scheduler(start_process: Start, config: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        variables = {"SCHEDULER_BRIDGE_CONFIG": config, "SCHEDULER_BRIDGE_PORT": port}
        bridge = start_process("bridge", BRIDGE, **variables)
        assert bridge.process.wait(20) != 0
    said = bridge.log.read_text()
    assert f"port {port} is held by something that is not a bridge on this database" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["stop", "die"])
def test_a_bridge_of_its_own_ends_when_it_is_told_to(start_bridge: Start, command: str) -> None:
    bridge = start_bridge()
    port = port_of(bridge)
    assert ask(port, command) == "received\nCLOSE\n"
    assert bridge.process.wait(10) == 0
    with pytest.raises(ConnectionRefusedError):
        ask(port, "status")


def test_a_port_that_is_bound_to_every_address_answers_on_loopback(start_bridge: Start) -> None:
    assert "scheduler:" in ask(port_of(start_bridge(SCHEDULER_BRIDGE_BIND="*")), "status")


def test_load_shows_the_addresses_of_the_configuration(start_bridge: Start, config: str) -> None:
    (Path(config) / "fossology.conf").write_text("[HOSTS]\nscan = 10.0.0.5 /opt/fo 4\n")
    assert (
        ask(port_of(start_bridge()), "load")
        == "received\nhost:scan address:10.0.0.5 max:4 running:0\n\nend\n"
    )
