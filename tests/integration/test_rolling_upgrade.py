"""Two releases at work on one database: this one, and a next one whose migration says that this one may go on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import announce, ended, small_fleet, started
from tests.process_nodes import PROJECT, ProcessBox

Connection = psycopg.Connection[Any]
Start = Callable[..., ProcessBox]

PROGRAM = [sys.executable, "-m", "scheduler_bridge"]
WORKER = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--loglevel=INFO", "-c", "2"]
LIGHT = ["--without-gossip", "--without-mingle"]
# What a compatible migration may do at the most: every table has a column more.
EXPAND = """\
-- compatible from: {known}
do $$
declare name regclass;
begin
    for name in select oid from pg_class where relnamespace = 'scheduler_bridge'::regnamespace and relkind = 'r'
    loop
        execute format('alter table %s add column later int', name);
    end loop;
end $$;
"""


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """The folder of a release that has one migration more."""
    folder = tmp_path / "next"
    for package in ("scheduler_bridge", "tasks", "workers"):
        shutil.copytree(PROJECT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    migrations = folder / "scheduler_bridge" / "migrations"
    known = max(int(file.name[:4]) for file in migrations.glob("[0-9]*_*.sql"))
    (migrations / f"{known + 1:04}_next.sql").write_text(EXPAND.format(known=known))
    return folder


@pytest.fixture
def variables(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {**environment, **small_fleet(tmp_path)}


@pytest.fixture
def start(variables: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start a command of the release in a folder."""
    boxes: list[ProcessBox] = []

    def start(
        command: list[str], ready_text: str, folder: Path = PROJECT, host: str = "bridges"
    ) -> ProcessBox:
        log = tmp_path / f"{len(boxes)}.log"
        environment = {**variables, "SCHEDULER_BRIDGE_HOST": host}
        box = ProcessBox(command, environment, log, name=host, ready_text=ready_text, folder=folder)
        boxes.append(box.start())
        box.ready()
        return box

    yield start
    for box in reversed(boxes):
        box.teardown()


def a_worker(host: str) -> list[str]:
    return [*WORKER, *LIGHT, "-n", f"{host}@%h"]


def jobs_of_everybody(connection: Connection) -> list[int]:
    """Announced: two naps, one for each host, and four short jobs for anybody after them."""
    naps = [a_job("nap", name=host, args="0.3", host=host) for host in ("old", "new")]
    short = [a_job("quick", name=f"q{number}", needs=("old", "new")) for number in range(4)]
    jobs = list(insert(connection, a_stream(*naps, *short)).jobs.values())
    announce(connection)
    return jobs


def attempts(connection: Connection) -> list[tuple[int, str]]:
    """Jobs and how their attempts ended."""
    return connection.execute(
        "select job, ending from scheduler_bridge.attempt order by job, epoch"
    ).fetchall()


def test_two_releases_share_a_database_through_a_whole_rolling_upgrade(
    start: Start, next_release: Path, variables: dict[str, str], connection: Connection
) -> None:
    old_bridge = start([*PROGRAM, "bridge"], "bridge ready")
    old_worker = start(a_worker("old"), " ready.", host="old")
    running = insert(connection, a_stream(a_job("nap", name="n", args="4"))).jobs["n"]
    announce(connection)
    started(connection, running)

    migrated = subprocess.run(
        [*PROGRAM, "migrate"], cwd=next_release, env=variables, capture_output=True, text=True
    )
    assert (migrated.returncode, "_next.sql" in migrated.stdout) == (0, True), migrated.stderr
    start(a_worker("new"), " ready.", folder=next_release, host="new")
    first = jobs_of_everybody(connection)
    assert ended(connection, running, *first) == ["Completed"] * 7

    old_worker.kill()  # its supervisor starts the same release again
    start(a_worker("old"), " ready.", host="old")
    start([*PROGRAM, "bridge"], "bridge ready", folder=next_release)
    old_bridge.kill()
    second = jobs_of_everybody(connection)
    assert ended(connection, *second) == ["Completed"] * 6

    assert attempts(connection) == [(job, "completed") for job in sorted([running, *first, *second])]
    again = subprocess.run([*PROGRAM, "migrate"], cwd=PROJECT, env=variables, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr  # a host of the old release boots, and its units migrate first
