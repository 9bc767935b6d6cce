"""Which processes `-k` and `-s` reach, and who may hold the command port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scheduler_bridge.daemon.database import require_port
from scheduler_bridge.daemon.mark import VARIABLE, SchedulerMark, installation_of
from scheduler_bridge.daemon.others import schedulers, signal_schedulers
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.model.mark import Life, named_with_life
from scheduler_bridge.orphans import life_of
from scheduler_bridge.servers import LOOPBACK

WAITS = "import signal, sys; print('up', flush=True); signal.pause()"
# Becomes a process with its own mark, as a scheduler does.
MARKED = """
import os, sys
from pathlib import Path
from scheduler_bridge.daemon.mark import VARIABLE
from scheduler_bridge.daemon.others import own_mark
environment = {**os.environ, VARIABLE: str(own_mark(Path(sys.argv[1])))}
os.execve(sys.executable, [sys.executable, "-c", sys.argv[2]], environment)
"""
INSERT = """
insert into scheduler_bridge.bridge (owner, host, pid, port, seen_at)
values (%s, %s, 1, %s, now() - %s::interval)
"""
Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run() -> Iterator[Run]:
    """Start Python: `run("-c", SCRIPT, VARIABLE="value")`; it has said that it is up."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has started holds the pipe too
        process.communicate()


@pytest.fixture
def port() -> Iterator[int]:
    """One that is held."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_a_scheduler_is_found_by_its_folder_and_gets_the_signal(run: Run, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    process = run("-c", MARKED, str(mine), WAITS)
    bystander = run("-c", MARKED, str(other), WAITS)
    assert [life.pid for life in schedulers(mine)] == [process.pid]
    assert signal_schedulers(mine, signal.SIGTERM) == [process.pid]
    assert process.wait(10) == -signal.SIGTERM
    assert bystander.poll() is None
    assert signal_schedulers(mine, signal.SIGTERM) == []


def test_it_is_reached_on_a_kernel_without_pidfds_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = run("-c", MARKED, str(tmp_path), WAITS)
    monkeypatch.delattr(os, "pidfd_open")
    assert signal_schedulers(tmp_path, signal.SIGTERM) == [process.pid]
    assert process.wait(10) == -signal.SIGTERM


def test_what_a_scheduler_has_started_is_not_taken_for_it(run: Run, tmp_path: Path) -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}])"
    process = run("-c", MARKED, str(tmp_path), child)
    assert [life.pid for life in schedulers(tmp_path)] == [process.pid]


def test_a_mark_that_names_somebody_else_points_at_nobody(run: Run, tmp_path: Path) -> None:
    victim = run("-c", WAITS)
    life = life_of(victim.pid)
    assert life is not None
    run("-c", WAITS, **{VARIABLE: str(SchedulerMark(installation_of(tmp_path), life))})
    assert signal_schedulers(tmp_path, signal.SIGKILL) == []
    assert victim.poll() is None


def test_the_mark_of_an_earlier_process_with_the_same_number_does_not_count(run: Run, tmp_path: Path) -> None:
    # As if it had been left by who had the number before: another start.
    script = MARKED.replace("(sys.argv[1])))", "(sys.argv[1]))) + '0'")
    run("-c", script, str(tmp_path), WAITS)
    assert schedulers(tmp_path) == []


def test_a_free_port_and_any_port_need_no_holder(database: str, port: int) -> None:
    require_port("postgresql://nobody.invalid/none", "h1", 0)
    with socket.create_server((LOOPBACK, 0)) as server:
        free = server.getsockname()[1]
    require_port("postgresql://nobody.invalid/none", "h1", free)


def test_a_registered_bridge_of_this_host_may_hold_the_port(
    database: str, connection: psycopg.Connection[Any], port: int
) -> None:
    connection.execute(INSERT.encode(), ["bridge@h1.7", "h1", port, "30 seconds"])
    require_port(database, "h1", port)


@pytest.mark.parametrize(
    ("host", "ago", "other_port"), [("h2", "0", False), ("h1", "2 minutes", False), ("h1", "0", True)]
)
def test_others_may_not(
    database: str,
    connection: psycopg.Connection[Any],
    port: int,
    host: str,
    ago: str,
    other_port: bool,
) -> None:
    connection.execute(INSERT.encode(), ["bridge@h1.7", host, port - 1 if other_port else port, f"{ago}"])
    with pytest.raises(BridgeError, match=f"port {port} is held"):
        require_port(database, "h1", port)


def test_a_bridge_that_has_died_does_not_hold_a_port(
    database: str, connection: psycopg.Connection[Any], port: int
) -> None:
    own = life_of(os.getpid())
    assert own is not None
    dead = named_with_life("bridge@h1", Life(own.namespace, own.pid, own.started - 1))
    connection.execute(INSERT.encode(), [dead, "h1", port, "1 second"])
    with pytest.raises(BridgeError, match="jobs would run twice"):
        require_port(database, "h1", port)
    connection.execute(INSERT.encode(), [named_with_life("bridge@h1", own), "h1", port, "1 second"])
    require_port(database, "h1", port)
