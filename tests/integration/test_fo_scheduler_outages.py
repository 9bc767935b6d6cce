"""`fo_scheduler` on a database that cannot be reached when it starts."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import QUICK, announce, configuration, ended, until
from tests.integration.schedulers import LINE, Scheduler, call, daemons, gone
from tests.proxy import Proxy

Variables = dict[str, str]
WAITS = "ERROR: waiting to start: the database cannot be reached"
BACK = "NOTE: the database can be reached"


@pytest.fixture
def config_folder(tmp_path: Path) -> Iterator[Path]:
    folder = configuration(tmp_path / "sys config", {"quick": QUICK})
    yield folder
    for daemon in daemons(folder):
        daemon.kill()


@pytest.fixture
def proxy(database_proxy: Proxy) -> Proxy:
    """The way to the database; cut."""
    database_proxy.cut()
    return database_proxy


@pytest.fixture
def variables(environment: Variables, database: str, proxy: Proxy, tmp_path: Path) -> Variables:
    state = str(tmp_path / "state")
    return {**environment, "DATABASE_URL": proxy.way_to(database), "SCHEDULER_BRIDGE_STATE": state}


@pytest.fixture
def start(variables: Variables, config_folder: Path, tmp_path: Path) -> Iterator[Callable[[], Scheduler]]:
    """Start one in the foreground; it is waiting when this returns."""
    started: list[Scheduler] = []

    def run() -> Scheduler:
        started.append(Scheduler(variables, config_folder, tmp_path / "fossology.log"))
        started[-1].wait_for(WAITS)
        return started[-1]

    yield run
    for scheduler in started:
        scheduler.close()


def test_a_daemon_waits_for_its_database_and_whoever_starts_it_does_not(
    variables: Variables,
    connection: psycopg.Connection[Any],
    proxy: Proxy,
    config_folder: Path,
    tmp_path: Path,
) -> None:
    folder = str(config_folder)
    log = tmp_path / "fossology.log"
    called = call(variables, "--daemon", "--reset", "--verbose", "1", "--config", folder, "--log", str(log))
    assert (called.returncode, called.stdout) == (0, "")
    assert re.fullmatch(
        "fo_scheduler: waiting for the database, which cannot be reached; see the log\n", called.stderr
    )
    proxy.thaw()
    job = insert(connection, a_stream(a_job("quick")))["quick"]
    until(lambda: "bridge ready." in log.read_text(), "the bridge")
    announce(connection)
    assert ended(connection, job) == ["Completed"]
    (daemon,) = daemons(config_folder)
    assert call(variables, "--kill", "--config", folder).returncode == 0
    assert gone([daemon], 20)
    lines = log.read_text().splitlines()
    assert [line for line in lines if not LINE.match(line)] == []
    assert sum(WAITS in line for line in lines) == sum(BACK in line for line in lines) == 1


def test_one_that_waits_for_its_database_ends_in_order_and_opens_a_log_that_was_moved_away(
    start: Callable[[], Scheduler], tmp_path: Path
) -> None:
    scheduler = start()
    log = scheduler.log.rename(tmp_path / "fossology.log.1")
    scheduler.send(signal.SIGHUP)
    until(scheduler.log.exists, "the new log")
    assert scheduler.end(signal.SIGTERM) == 0
    assert "Traceback" not in log.read_text() + scheduler.output()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: re.sub(":[^:@]+@", ":wrong@", url), "password authentication failed"),
        (lambda url: re.sub("[^/]+$", "nowhere", url), '"nowhere" does not exist'),
    ],
    ids=["password", "database"],
)
def test_what_waiting_cannot_mend_ends_it_at_once_as_ever(
    variables: Variables, proxy: Proxy, config_folder: Path, change: Callable[[str], str], said: str
) -> None:
    proxy.thaw()
    wrong = {**variables, "DATABASE_URL": change(variables["DATABASE_URL"])}
    done = call(wrong, "--config", str(config_folder), "--log", "stdout")
    assert done.returncode == 254
    assert said in done.stdout and said in done.stderr
    assert WAITS not in done.stdout and "Traceback" not in done.stdout + done.stderr


def test_an_option_that_only_asks_waits_for_no_database(variables: Variables, config_folder: Path) -> None:
    assert call(variables, "--kill", "--config", str(config_folder)).returncode == 255
    assert call(variables, "--test", "--config", str(config_folder)).returncode == 0
