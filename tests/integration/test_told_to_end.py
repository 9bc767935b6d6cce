"""Processes of Celery that are told to end, at moments when Celery's own would never do it."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from scheduler_bridge.dispatch.application import BridgeCelery, make_application
from scheduler_bridge.dispatch.routes import HOUSEKEEPING, SEND_MAILS
from scheduler_bridge.redis_url import redis_settings
from scheduler_bridge.servers import reserved_port
from tests.integration.fleet import small_fleet, until
from tests.integration.outages import LIGHT, READY, Broker, Start, starter
from tests.process_nodes import ProcessBox

SIGNALS = 400  # so many, so close, that some come while the handler of one before them runs
GAP_SECONDS = 0.0005  # at most
AT_WORK = {**READY, "beat": "Sending due task", "web": "Visit me"}
END_SECONDS = 15.0
TOLD_EARLY = [
    *(sys.executable, "-m", "celery", "-A", "tests.integration.late", "worker", *LIGHT),
    *("-Q", HOUSEKEEPING),
]
THAT_HANGS = [sys.executable, "-m", "celery", "-A", "tests.integration.deaf", "worker", *LIGHT]


@pytest.fixture
def variables(own_broker: Broker, tmp_path: Path) -> dict[str, str]:
    return {**small_fleet(tmp_path), "REDIS_URL": own_broker.url}


@pytest.fixture
def start(start_process: Any, variables: dict[str, str]) -> Start:
    """Start one of COMMANDS on a broker that the test may stop."""
    return starter(start_process, variables)


@pytest.fixture
def start_hanging(start_process: Any, variables: dict[str, str]) -> Start:
    """Start a worker that can be made to hang."""
    own = {**variables, "CANARY_BEAT_SECONDS": "10"}
    return lambda: start_process("worker", THAT_HANGS, ready_text=" ready.", **own)


@pytest.fixture
def asker(own_broker: Broker) -> Iterator[BridgeCelery]:
    """Sends broadcasts."""
    with make_application(redis_settings(own_broker.url)) as app:
        yield app


def ended_in_order(process: ProcessBox) -> bool:
    return process.wait(END_SECONDS) == 0 and "Traceback" not in process.logs()


@pytest.mark.parametrize("name", ["worker", "housekeeping", "beat", "bridge", "web"])
def test_a_process_that_is_told_many_times_at_once_ends(start: Start, name: str) -> None:
    process = start(name, AT_WORK[name], PORT="0")
    for _ in range(SIGNALS):
        if process.status != "running":
            break
        process.kill("SIGTERM")
        end = time.perf_counter() + random.uniform(0, GAP_SECONDS)
        while time.perf_counter() < end:
            pass
    # Python gives signals back their default at its very end.
    assert process.wait(END_SECONDS) in (0, -signal.SIGTERM) and "Traceback" not in process.logs()


def test_a_worker_that_is_told_again_while_it_is_being_told_ends(
    start_hanging: Start, asker: BridgeCelery
) -> None:
    worker = start_hanging()
    until(lambda: asker.control.broadcast("interrupt", reply=True, limit=1), "the worker to listen")
    worker.kill("SIGTERM")
    assert ended_in_order(worker)


def test_a_worker_that_cannot_reply_because_the_broker_has_gone_ends(
    start_hanging: Start, own_broker: Broker, asker: BridgeCelery, tmp_path: Path
) -> None:
    worker = start_hanging()
    until(lambda: asker.control.ping(limit=1), "the worker to reply")
    begun, may_reply = tmp_path / "begun", tmp_path / "may reply"

    arguments = {"begun": str(begun), "until": str(may_reply)}
    asker.control.broadcast("dawdle", arguments=arguments, reply=True, timeout=0.1)
    until(begun.exists, "the command to be under way")
    own_broker.kill()
    may_reply.touch()
    worker.kill("SIGTERM")
    assert ended_in_order(worker)


def test_housekeeping_that_is_told_to_end_as_it_begins_with_a_task_ends_after_it(
    start_process: Any, variables: dict[str, str], asker: BridgeCelery
) -> None:
    patient = {**variables, "SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": f"{END_SECONDS:g}"}
    worker = start_process("housekeeping", TOLD_EARLY, ready_text=" ready.", **patient)
    asker.send_task(SEND_MAILS, queue=HOUSEKEEPING)
    assert ended_in_order(worker)
    assert "the mail is sent" in worker.logs() and "main thread" not in worker.logs()


def test_the_monitor_ends_while_the_broker_is_away(start: Start, own_broker: Broker) -> None:
    with reserved_port() as port:
        web = start("web", "Connected to", PORT=str(port))
        own_broker.kill()
        asking, looking = (HTTPConnection("127.0.0.1", port, timeout=END_SECONDS) for _ in range(2))
        with closing(asking), closing(looking):
            asking.request("GET", "/workers?refresh=1")  # which asks every worker
            looking.request("GET", "/workers")
            assert looking.getresponse().status == 200
            web.kill("SIGTERM")
            assert ended_in_order(web)
