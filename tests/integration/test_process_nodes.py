"""pytest-celery's nodes as processes: what the other tests rest on."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pytest_celery import CeleryTestSetup, CeleryTestWorker

from tests.integration.fleet import until
from tests.process_nodes import ProcessBox


def test_a_worker_node_answers_and_comes_back_after_a_kill(celery_setup: CeleryTestSetup) -> None:
    worker: CeleryTestWorker = celery_setup.worker
    node = f"w1@{socket.gethostname()}"
    # Asked again: a worker says that it is ready a moment before it listens for broadcasts.
    ping = partial(celery_setup.app.control.ping, destination=[node], limit=1, timeout=2)
    assert until(ping, "an answer") == [{node: {"ok": "pong"}}]
    worker.kill()
    assert worker.container.status == "exited"
    worker.restart()
    assert until(ping, "an answer of the second") == [{node: {"ok": "pong"}}]


def test_each_worker_is_a_host_of_its_own(start_worker: Callable[..., CeleryTestWorker]) -> None:
    first, second = start_worker("h1", slots=1), start_worker("h2", slots=3, queues="housekeeping")
    assert "concurrency: 1 " in first.logs()
    assert "concurrency: 3 " in second.logs()
    assert [node.container.environment["SCHEDULER_BRIDGE_HOST"] for node in (first, second)] == ["h1", "h2"]
    first.teardown()
    assert first.container.wait() == 0
    assert second.container.status == "running"


def test_a_program_is_killed_before_it_leads_a_group(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import signal; signal.pause()"]
    box = ProcessBox(sleeper, {}, tmp_path / "log", name="sleeper").start()
    box.kill()
    assert box.wait() == -signal.SIGKILL
