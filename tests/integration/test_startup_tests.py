"""Workers that test their agent types: what fails is closed on that host, with its reason, until it is mended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from scheduler_bridge.dispatch.routes import MESSAGE_VERSION, RUN_JOB, queue_of, queues_of_host
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import NAPPER, QUICK, announce, configuration, ended, row, until

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

# Can run where it is not told otherwise; reads the reason from a file, so that it can be mended.
MOODY = """#!/bin/sh
if [ -n "$MOODY" ] && [ -e "$MOODY" ]; then cat "$MOODY"; exit 1; fi
printf 'VERSION: %s\\n\\nOK\\n' "${VERSION:-1}"
while read -r line; do
    case "$line" in
    CLOSE) break ;;
    END) echo OK ;;
    esac
done
echo 'BYE 0'
"""

# Of the kind that stays, and dies of its first job.
DIES = """#!/bin/sh
echo OK
read -r line || exit 0
exit 3
"""

AGENTS = {"quick": QUICK, "nap": NAPPER, "moody": MOODY, "dies": DIES}
TESTED = {"SCHEDULER_BRIDGE_STARTUP_TESTS": "on"}
HASTY = {"SCHEDULER_BRIDGE_SWEEP_SECONDS": "0.5"}
CLOSED = "agent type moody: closed on this host"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return configuration(tmp_path / "conf", AGENTS)


@pytest.fixture
def variables(config: Path) -> dict[str, str]:
    return {**TESTED, **HASTY, "SCHEDULER_BRIDGE_CONFIG": str(config)}


@pytest.fixture
def bridge(start_process: Start, variables: dict[str, str]) -> Any:
    return start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """The file that makes `moody` fail."""
    path = tmp_path / "fault"
    path.write_text("no scanner here\n")
    return path


@pytest.fixture
def moody_worker(connection: Connection, start_worker: Start, variables: dict[str, str], fault: Path) -> Any:
    """A worker that can run all but `moody`."""
    worker = start_worker("w1", **variables, MOODY=str(fault))
    until(lambda: offered(connection) == ["dies", "nap", "quick"], "the tests")
    return worker


def offered(connection: Connection, host: str = "w1") -> list[str]:
    """What a host says it can run."""
    query = "select agent_type from scheduler_bridge.host_agent_type where host = %s order by 1"
    return [name for (name,) in connection.execute(query, [host]).fetchall()]


def obstacle(connection: Connection, job: int) -> str:
    """Why a job may not start, as `why` says it."""
    query = "select kind, subject from scheduler_bridge.obstacle(%s, null)"
    found = connection.execute(query, [job]).fetchone()
    return ": ".join(filter(None, found)) if found else ""


def waiting(client: redis.Redis) -> set[str]:
    """The connections that wait for messages."""
    return {one["id"] for one in client.client_list() if one["cmd"] == "brpop"}


def reload(connection: Connection) -> None:
    connection.execute("select scheduler_bridge.reload()")


def submitted(connection: Connection, *agent_types: str) -> list[int]:
    jobs = [a_job(name, name=f"{name} {number}") for number, name in enumerate(agent_types)]
    stream = insert(connection, a_stream(*jobs))
    announce(connection)
    return list(stream.jobs.values())


def test_a_type_that_fails_its_test_is_closed_on_this_host_and_its_jobs_wait_with_the_reason(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str], fault: Path
) -> None:
    worker = start_worker("w1", **variables, MOODY=str(fault))
    moody, quick = submitted(connection, "moody", "quick")
    assert ended(connection, quick) == ["Completed"]
    until(lambda: offered(connection) == ["dies", "nap", "quick"], "what the host can run")
    reason = "agent did not greet, but said: no scanner here"
    until(lambda: f"(w1: {reason})" in obstacle(connection, moody), "the reason of the job that waits")
    assert row(connection, moody)["jq_endtext"] is None
    assert worker.container.logs().count(f"{CLOSED}, its start-up test has failed: {reason}") == 1
    assert "start-up tests: 3 of 4 agent types passed" in worker.container.logs()


def test_another_host_runs_what_one_cannot(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str], fault: Path
) -> None:
    start_worker("w1", **variables, MOODY=str(fault))
    jobs = submitted(connection, *["moody"] * 4)
    start_worker("w2", **variables)
    assert ended(connection, *jobs) == ["Completed"] * 4
    hosts = connection.execute("select distinct host from scheduler_bridge.attempt").fetchall()
    assert hosts == [("w2",)]


def test_a_type_that_was_mended_opens_when_the_configuration_is_read_again(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str], fault: Path
) -> None:
    worker = start_worker("w1", **variables, MOODY=str(fault))
    until(lambda: CLOSED in worker.container.logs(), "the failed test")
    (job,) = submitted(connection, "moody")
    fault.unlink()
    reload(connection)
    assert ended(connection, job) == ["Completed"]
    assert "agent type moody: open again" in worker.container.logs()
    assert offered(connection) == sorted(AGENTS)


def test_agent_types_that_come_change_and_go_are_noticed_when_the_configuration_is_read_again(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str], config: Path
) -> None:
    start_worker("w1", **variables)
    until(lambda: offered(connection) == sorted(AGENTS), "the tests")
    configuration(config, {"later": QUICK})
    changed = config / "mods-enabled" / "nap" / "nap.conf"
    changed.write_text(changed.read_text().replace("command = nap", "command = missing"))
    (config / "mods-enabled" / "dies" / "dies.conf").unlink()
    reload(connection)
    until(lambda: offered(connection) == ["later", "moody", "quick"], "the new offer")
    known = "select from scheduler_bridge.agent_type where name = 'later'"
    until(lambda: connection.execute(known).fetchone() is not None, "the bridge to know it")
    assert ended(connection, *submitted(connection, "later")) == ["Completed"]


def test_a_configuration_that_cannot_be_read_again_leaves_everything_as_it_was(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str], config: Path
) -> None:
    worker = start_worker("w1", **variables)
    until(lambda: offered(connection) == sorted(AGENTS), "the tests")
    (config / "fossology.conf").write_text("[FOSSOLOGY]\nport = 1234567\nwhat is this\n")
    reload(connection)
    until(lambda: "the configuration stays as it was" in worker.container.logs(), "the refusal")
    assert ended(connection, *submitted(connection, "quick")) == ["Completed"]


def test_a_worker_none_of_whose_types_can_run_consumes_nothing(
    connection: Connection, start_worker: Start, variables: dict[str, str], tmp_path: Path, redis_url: str
) -> None:
    folder = configuration(tmp_path / "broken", {"moody": "#!/bin/sh\nexit 1\n"})
    worker = start_worker("w1", **{**variables, "SCHEDULER_BRIDGE_CONFIG": str(folder)})
    until(lambda: CLOSED in worker.container.logs(), "the failed test")
    with redis.Redis.from_url(redis_url) as client:
        assert not waiting(client)


def test_after_a_reconnect_a_worker_consumes_what_is_open_and_nothing_else(
    bridge: Any, moody_worker: Any, connection: Connection, redis_url: str, celery_setup_app: Any
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        before = waiting(client)
        client.client_kill_filter(_type="normal", skipme=True)
        until(lambda: waiting(client) - before, "the worker to come back")
        celery_setup_app.send_task(RUN_JOB, (1, MESSAGE_VERSION), queue=queue_of("moody"), shadow="moody")
        assert ended(connection, *submitted(connection, "quick", "quick")) == ["Completed"] * 2
        assert waiting(client)
        assert client.llen(queue_of("moody")) == 1


def test_a_type_whose_agents_die_too_often_is_closed_and_another_host_goes_on(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str], redis_url: str
) -> None:
    start_worker("w1", slots=1, **variables)
    jobs = submitted(connection, *["dies"] * 8)
    failed = "select count(*) from jobqueue where jq_endtext = 'Failed'"
    until(lambda: connection.execute(failed).fetchone() == (5,), "the deaths that spend the budget")
    until(lambda: offered(connection) == ["moody", "nap", "quick"], "the host to say so")
    until(
        lambda: "(w1: its agents have died too often" in obstacle(connection, jobs[-1]),
        "the reason of those that wait",
    )
    start_worker("w2", slots=1, **variables)
    assert ended(connection, *jobs) == ["Failed"] * 8
    hosts = "select host, count(*) from scheduler_bridge.attempt group by host order by host"
    assert connection.execute(hosts).fetchall() == [("w1", 5), ("w2", 3)]


def test_a_changed_version_is_adopted_with_one_warning_and_the_job_goes_on(
    bridge: Any, connection: Connection, start_worker: Start, variables: dict[str, str], config: Path
) -> None:
    worker = start_worker("w1", **variables)
    assert ended(connection, *submitted(connection, "moody")) == ["Completed"]
    program = config / "mods-enabled" / "moody" / "agent" / "moody"
    program.write_text(MOODY.replace("${VERSION:-1}", "2"))
    assert ended(connection, *submitted(connection, "moody", "moody")) == ["Completed"] * 2
    assert worker.container.logs().count("agent type moody: version 2, was 1") == 1
    reload(connection)
    until(lambda: "the configuration was read again" in worker.container.logs(), "the reload")
    program.write_text(MOODY.replace("${VERSION:-1}", "3"))
    assert ended(connection, *submitted(connection, "moody")) == ["Completed"]
    assert "version 3" not in worker.container.logs()


def test_a_worker_without_slots_tests_nothing_and_consumes_nothing(
    connection: Connection, start_worker: Start, variables: dict[str, str], redis_url: str
) -> None:
    worker = start_worker("w1", slots=2, **variables, SCHEDULER_BRIDGE_SLOTS="0")
    with redis.Redis.from_url(redis_url) as client:
        assert not waiting(client)
    assert "start-up tests" not in worker.container.logs()


def test_a_stopping_worker_leaves_no_agent_of_a_test_behind(
    connection: Connection, start_worker: Start, variables: dict[str, str], tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    hangs = f"#!/bin/sh\nprintf 'VERSION: 1\\n\\nOK\\n'\necho $$ > {mark}\nwhile :; do sleep 1000; done\n"
    folder = configuration(tmp_path / "hanging", {"hangs": hangs})
    worker = start_worker("w1", **{**variables, "SCHEDULER_BRIDGE_CONFIG": str(folder)})
    until(lambda: mark.exists() and mark.read_text().strip(), "the agent of the test")
    worker.container.kill("SIGTERM")
    assert worker.container.wait() == 0
    until(lambda: not Path(f"/proc/{mark.read_text().strip()}").exists(), "the end of the agent")


def test_the_queues_of_a_host_are_those_of_its_open_types_and_no_others() -> None:
    assert queues_of_host("w1", ["a"]) == ["agent.a", "agent.a@w1"]
    assert queues_of_host("w1", []) == []
