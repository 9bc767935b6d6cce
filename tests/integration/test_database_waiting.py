"""Processes that start before their PostgreSQL, or with one that they cannot use."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from scheduler_bridge.errors import SettingsError
from scheduler_bridge.migrate import create_queue
from scheduler_bridge.wiring import once_there
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import NAPPER, QUICK, announce, configuration, ended, small_fleet
from tests.integration.outages import COMMANDS, READY, WAITS, Database, Start, starter
from tests.proxy import in_front_of

# By name what a process says while there is no database.
SAID = {**READY, "bridge": WAITS, "worker": WAITS, "web": "the database cannot be reached"}
AT_ONCE_SECONDS = 2.0  # on a busy machine


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(configuration(tmp_path / "conf", {"nap": NAPPER, "quick": QUICK}))


@pytest.fixture
def start(own_database: Database, start_process: Start, tmp_path: Path) -> Start:
    """Start one of COMMANDS on a database that the test may stop."""
    own = {"DATABASE_URL": own_database.url, "PORT": "0", "SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": "1"}
    return starter(start_process, {**small_fleet(tmp_path), **own})


def test_whatever_starts_before_the_database_begins_with_it(start: Start, own_database: Database) -> None:
    own_database.stop()
    processes = {name: start(name, said) for name, said in SAID.items()}
    own_database.start()
    assert processes["bridge"].logs().count("Connection refused") == 1
    with own_database.connect() as connection:
        stream = insert(connection, a_stream(a_job("quick"), a_job("nap", needs="quick")))
        announce(connection)
        assert ended(connection, *stream.jobs.values()) == ["Completed", "Completed"]
    for name in ("bridge", "worker"):
        assert "the database can be reached" in processes[name].logs()
    assert all(process.status == "running" for process in processes.values())
    assert not any("Traceback" in process.logs() for process in processes.values())


def test_up_that_starts_before_the_database_begins_with_it(start: Start, own_database: Database) -> None:
    own_database.stop()
    up = start("up", WAITS)
    own_database.start()
    with own_database.connect() as connection:
        job = insert(connection, a_stream(a_job("quick")))["quick"]
        assert ended(connection, job) == ["Completed"]
    up.kill("SIGTERM")
    assert up.wait() == 0
    assert "Traceback" not in up.logs()


def test_migrate_waits_for_its_database_where_it_is_told_to(
    start_process: Start, own_database: Database
) -> None:
    own_database.stop()
    at_once = start_process("migrate", ["scheduler-bridge", "migrate"], DATABASE_URL=own_database.url)
    waits = start_process("migrate", COMMANDS["migrate"], ready_text=WAITS, DATABASE_URL=own_database.url)
    assert at_once.wait() == 1
    own_database.start()
    assert waits.wait() == 0
    assert "the schema is up to date" in waits.logs()


@pytest.mark.parametrize(
    ("name", "number", "fault"),
    [
        ("bridge", "SIGTERM", "freeze"),
        ("bridge", "SIGINT", "cut"),
        ("up", "SIGINT", "freeze"),
        ("migrate", "SIGTERM", "cut"),
        ("migrate", "SIGINT", "cut"),
    ],
)
def test_what_waits_for_its_database_ends_at_once_when_told_to(
    name: str, number: str, fault: str, database: str, start_process: Start, config: str
) -> None:
    with in_front_of(database) as proxy:
        getattr(proxy, fault)()
        variables = {"DATABASE_URL": proxy.way_to(database), "SCHEDULER_BRIDGE_CONFIG": config}
        process = start_process(name, COMMANDS[name], ready_text=WAITS, **variables)
        process.kill(number)
        undone = {"SIGTERM": -signal.SIGTERM, "SIGINT": 130}[number]
        assert process.wait(AT_ONCE_SECONDS) == (undone if name == "migrate" else 0)
        assert process.logs().count(WAITS) == 1 and "Traceback" not in process.logs()


WRONG: dict[str, tuple[Callable[[str], str], str]] = {
    "password": (lambda url: re.sub(":[^:@]+@", ":wrong@", url), "password authentication failed"),
    "no password": (lambda url: re.sub(":[^:@/]+@", "@", url), "no password supplied"),
    "database": (lambda url: re.sub("[^/]+$", "nowhere", url), '"nowhere" does not exist'),
    "port": (lambda url: re.sub(r":\d+/", ":70000/", url), 'invalid port number: "70000"'),
    "option": (lambda url: f"{url}?colour=red", 'invalid URI query parameter: "colour"'),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_waiting_cannot_mend_is_not_waited_for(what: str, database: str) -> None:
    change, said = WRONG[what]
    with pytest.raises((SettingsError, psycopg.ProgrammingError), match=said):
        once_there(change(database), lambda: None)


@pytest.mark.parametrize(
    ("name", "what"),
    [("bridge", "option"), ("worker", "no password"), ("up", "password"), ("migrate", "database")],
)
def test_what_waiting_cannot_mend_ends_a_process_at_once_with_one_line(
    name: str, what: str, database: str, start_process: Start, config: str
) -> None:
    change, said = WRONG[what]
    variables = {"DATABASE_URL": change(database), "SCHEDULER_BRIDGE_CONFIG": config}
    process = start_process(name, COMMANDS[name], **variables)
    assert process.wait() == 1
    assert said in process.logs() and "Traceback" not in process.logs()
    assert WAITS not in process.logs()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [(lambda url: None, "migrate --create-queue"), (create_queue, "run `scheduler-bridge migrate`")],
    ids=["no queue", "no schema"],
)
def test_a_bridge_ends_at_once_where_its_tables_are_missing(
    prepare: Callable[[str], None], said: str, empty_database: str, start_process: Start, config: str
) -> None:
    prepare(empty_database)
    bridge = start_process(
        "bridge", COMMANDS["bridge"], DATABASE_URL=empty_database, SCHEDULER_BRIDGE_CONFIG=config
    )
    assert bridge.wait() == 1
    assert said in bridge.logs() and "Traceback" not in bridge.logs()
