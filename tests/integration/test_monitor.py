"""`celery -A tasks monitor`: where it listens, who may see it, how it ends."""

from __future__ import annotations

import base64
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from scheduler_bridge.servers import reserved_port
from tests.process_nodes import PROJECT, ProcessBox

COMMAND = [sys.executable, "-m", "celery", "-A", "tasks", "monitor"]
Start = Callable[..., ProcessBox]


@pytest.fixture
def start_monitor(start_process: Start) -> Iterator[Callable[..., tuple[ProcessBox, int]]]:
    """Start it on a free port; the process and the port."""
    with reserved_port() as port:

        def start(*arguments: str, **variables: str) -> tuple[ProcessBox, int]:
            command = [*COMMAND, *arguments]
            return start_process("web", command, ready_text="Visit me at", PORT=str(port), **variables), port

        yield start


def status_of(port: int, path: str, login: str | None = None) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def listening_of(process: ProcessBox, what: str) -> set[Any]:
    connections = psutil.Process(process.pid).net_connections("inet")
    return {getattr(one.laddr, what) for one in connections if one.status == psutil.CONN_LISTEN}


def addresses_of(process: ProcessBox) -> set[str]:
    return listening_of(process, "ip")


def test_without_a_login_it_is_on_port_of_this_machine_only_and_ends_at_once_with_sigterm(
    start_monitor: Callable[..., tuple[ProcessBox, int]],
) -> None:
    process, port = start_monitor()
    assert status_of(port, "/workers") == 200
    assert addresses_of(process) == {"127.0.0.1"}
    assert listening_of(process, "port") == {port}
    assert "only this machine can see Flower" in process.logs()
    process.kill("SIGTERM")
    assert process.wait() == 0


def test_with_a_login_it_is_open_to_others_who_have_it(
    start_monitor: Callable[..., tuple[ProcessBox, int]],
) -> None:
    process, port = start_monitor(FLOWER_BASIC_AUTH="ada:lovelace")
    assert addresses_of(process) & {"0.0.0.0", "::"}
    assert [status_of(port, "/workers", login) for login in (None, "ada:wrong", "ada:lovelace")] == [
        401,
        401,
        200,
    ]


def test_flowers_own_options_win_over_ours(start_monitor: Callable[..., tuple[ProcessBox, int]]) -> None:
    process, port = start_monitor("--url_prefix=flower", "--address=127.0.0.2")
    assert addresses_of(process) == {"127.0.0.2"}
    with pytest.raises(urllib.error.URLError):
        status_of(port, "/flower/workers")


def test_the_port_is_flowers_option_else_that_of_the_settings(
    start_monitor: Callable[..., tuple[ProcessBox, int]],
) -> None:
    with reserved_port() as one, reserved_port() as other:
        process, _ = start_monitor(f"--port={one}", FLOWER_PORT=str(other))
        assert status_of(one, "/workers") == 200
        assert listening_of(process, "port") == {one}
        process, _ = start_monitor(FLOWER_PORT=str(other))
        assert listening_of(process, "port") == {other}


def test_a_port_that_is_none_is_told_as_any_other_setting(environment: dict[str, str]) -> None:
    done = subprocess.run(
        COMMAND, env={**environment, "PORT": "http"}, cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "environment PORT: must be a whole number from 0 to 65535, not 'http'" in done.stderr


def test_an_old_schema_is_refused_with_what_to_do(environment: dict[str, str], empty_database: str) -> None:
    own = {**environment, "DATABASE_URL": empty_database}
    done = subprocess.run(COMMAND, env=own, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "scheduler-bridge: the database lacks 0001_core.sql" in done.stderr
    assert "run `scheduler-bridge migrate`" in done.stderr


def test_a_database_that_is_away_keeps_nobody_from_watching(
    start_monitor: Callable[..., tuple[ProcessBox, int]],
) -> None:
    process, port = start_monitor(DATABASE_URL="postgresql://bridge@127.0.0.1:1/none")
    assert status_of(port, "/workers") == 200
    assert "the database cannot be reached" in process.logs()
