"""`celery -A tasks monitor`: where it listens, who may see it, how it ends."""

from __future__ import annotations

import base64
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import psutil
import pytest

from scheduler_bridge.servers import reserved_port
from tests.process_nodes import ProcessBox

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


def addresses_of(process: ProcessBox) -> set[str]:
    connections = psutil.Process(process.pid).net_connections("inet")
    return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}


def test_without_a_login_it_is_on_port_of_this_machine_only(
    start_monitor: Callable[..., tuple[ProcessBox, int]],
) -> None:
    process, port = start_monitor()
    assert status_of(port, "/workers") == 200
    assert addresses_of(process) == {"127.0.0.1"}
    assert "only this machine can see Flower" in process.logs()


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


def test_sigterm_ends_it_at_once_and_cleanly(start_monitor: Callable[..., tuple[ProcessBox, int]]) -> None:
    process, _ = start_monitor()
    process.kill("SIGTERM")
    assert process.wait() == 0
