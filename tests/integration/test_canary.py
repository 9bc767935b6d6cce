"""Workers that live and answer, but consume no more."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from scheduler_bridge.dispatch.routes import HOUSEKEEPING, SWEEP
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import announce, ended, row, small_fleet, started, until
from tests.proxy import Proxy

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

WORKER = [sys.executable, "-m", "celery", "-A", "tests.integration.deaf", "worker", "--loglevel=INFO"]
LIGHT = ["--without-gossip", "--without-mingle", "-c", "2"]
NOTICED = "nothing is consumed although the broker answers"
GIVEN_UP = "this worker ends"
BEAT_SECONDS = 0.5
SOME_BEATS_SECONDS = 8 * BEAT_SECONDS


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return {**small_fleet(tmp_path), "CANARY_BEAT_SECONDS": f"{BEAT_SECONDS:g}"}


@pytest.fixture
def through_proxy(redis_url: str, broker_proxy: Proxy) -> str:
    return broker_proxy.way_to(redis_url)


@pytest.fixture
def start_behind_proxy(start_process: Start, variables: dict[str, str], through_proxy: str) -> Start:
    """Start a worker that reaches its broker through the proxy."""

    def start(**more: str) -> Any:
        own = {**variables, "REDIS_URL": through_proxy, **more}
        return start_process("worker", [*WORKER, *LIGHT], ready_text=" ready.", **own)

    return start


@pytest.fixture
def bridge(start_process: Start, variables: dict[str, str]) -> Any:
    return start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)


@pytest.fixture
def worker(start_process: Start, variables: dict[str, str]) -> Any:
    return start_process("worker", [*WORKER, *LIGHT], ready_text=" ready.", **variables)


def a_running_nap(connection: Connection, seconds: str = "60") -> int:
    stream = insert(connection, a_stream(a_job("nap", args=seconds)))
    announce(connection)
    started(connection, stream["nap"])
    return stream["nap"]


def runs_a_quick_job(connection: Connection) -> bool:
    stream = insert(connection, a_stream(a_job("quick")))
    announce(connection)
    return ended(connection, stream["quick"]) == ["Completed"]


def attempts(connection: Connection, job: int) -> list[str | None]:
    query = "select ending from scheduler_bridge.attempt where job = %s order by epoch"
    return [ending for (ending,) in connection.execute(query, [job]).fetchall()]


def deafen(app: Any, how: str) -> None:
    app.control.broadcast("deafen", arguments={"how": how})


def test_a_worker_that_has_stopped_consuming_begins_again_and_its_agents_notice_nothing(
    bridge: Any, worker: Any, connection: Connection, celery_setup_app: Any
) -> None:
    nap = a_running_nap(connection)
    deafen(celery_setup_app, "once")
    until(lambda: NOTICED in worker.logs(), "the canary")
    assert runs_a_quick_job(connection)
    assert worker.logs().count(NOTICED) == 1
    assert attempts(connection, nap) == [None] and row(connection, nap)["jq_endtext"] == "Started"


def test_housekeeping_that_has_stopped_consuming_begins_again(
    start_process: Start, variables: dict[str, str], connection: Connection, celery_setup_app: Any
) -> None:
    command = [*WORKER, *LIGHT, "-Q", HOUSEKEEPING]
    worker = start_process("housekeeping", command, ready_text=" ready.", **variables)
    deafen(celery_setup_app, "once")
    until(lambda: NOTICED in worker.logs(), "the canary")
    celery_setup_app.send_task(SWEEP, queue=HOUSEKEEPING)
    swept = "select swept_at > '-infinity' from scheduler_bridge.progress"
    until(lambda: connection.execute(swept).fetchone() == (True,), "a sweep")


@pytest.mark.parametrize("how", ["always", "hang"])
def test_a_worker_that_cannot_consume_again_returns_its_jobs_and_ends_with_an_error(
    how: str, bridge: Any, worker: Any, connection: Connection, celery_setup_app: Any
) -> None:
    nap = a_running_nap(connection)
    deafen(celery_setup_app, how)
    assert worker.wait() == 1
    assert GIVEN_UP in worker.logs()
    assert attempts(connection, nap) == ["returned"] and row(connection, nap)["jq_starttime"] is None


def test_a_worker_whose_slots_are_all_taken_is_left_alone(
    bridge: Any, worker: Any, connection: Connection
) -> None:
    naps = [a_running_nap(connection, "5") for _ in range(2)]
    assert ended(connection, *naps) == ["Completed"] * 2
    assert NOTICED not in worker.logs()
    assert runs_a_quick_job(connection)


@pytest.mark.parametrize("fault", ["freeze", "cut"])
def test_a_worker_whose_broker_is_away_is_left_alone(
    fault: str, start_behind_proxy: Start, bridge: Any, connection: Connection, broker_proxy: Proxy
) -> None:
    worker = start_behind_proxy()
    nap = a_running_nap(connection)
    getattr(broker_proxy, fault)()
    end = time.monotonic() + SOME_BEATS_SECONDS
    until(lambda: time.monotonic() > end, "some beats")
    broker_proxy.thaw()
    assert runs_a_quick_job(connection)
    assert NOTICED not in worker.logs() and GIVEN_UP not in worker.logs()
    assert attempts(connection, nap) == [None]


def test_a_canary_leaves_nothing_in_the_broker_for_long(
    worker: Any, celery_setup_app: Any, redis_url: str
) -> None:
    deafen(celery_setup_app, "always")
    with redis.Redis.from_url(redis_url) as client:
        (queue,) = until(lambda: client.keys("canary.*"), "a canary that nobody fetches")
        worker.kill(signal.SIGKILL)
        assert 0 < client.ttl(queue) <= 60


def lose_the_broker_with_a_message_unacknowledged(broker_proxy: Proxy, worker: Any, redis_url: str) -> None:
    """The library's own fault: a message is unacknowledged, and more are waited for, when the broker goes.

    The loss must be noticed elsewhere than where messages are waited for: here where broadcasts come.
    """
    with redis.Redis.from_url(redis_url) as client:
        until(lambda: any(each["cmd"] == "brpop" for each in client.client_list()), "the worker to wait")
        client.client_kill_filter(_type="pubsub")
        until(lambda: "onnection to broker lost" in worker.logs(), "the loss to be noticed")
    broker_proxy.cut()
    until(lambda: "'NoneType' object has no attribute" in worker.logs(), "the library's fault", 10)
    broker_proxy.thaw()


def test_the_librarys_fault_at_a_reconnect_ends_no_agent_and_the_worker_consumes_on(
    start_behind_proxy: Start, bridge: Any, connection: Connection, broker_proxy: Proxy, redis_url: str
) -> None:
    worker = start_behind_proxy(LATE_ACKS="1")
    nap = a_running_nap(connection)
    lose_the_broker_with_a_message_unacknowledged(broker_proxy, worker, redis_url)
    assert runs_a_quick_job(connection)
    assert attempts(connection, nap) == [None]
    assert "consuming broke and begins anew" in worker.logs()


def test_without_our_consumer_the_librarys_fault_ends_the_worker(
    start_behind_proxy: Start, bridge: Any, connection: Connection, broker_proxy: Proxy, redis_url: str
) -> None:
    worker = start_behind_proxy(LATE_ACKS="1", CELERYS_OWN_CONSUMER="1")
    a_running_nap(connection)
    lose_the_broker_with_a_message_unacknowledged(broker_proxy, worker, redis_url)
    assert worker.wait() == 1
    assert "Unrecoverable error" in worker.logs()
