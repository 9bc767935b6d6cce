"""Messages that nobody of ours has written: each costs one line in the log and nothing else."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from scheduler_bridge.dispatch.routes import (
    HOUSEKEEPING,
    LOOK_AGAIN,
    MESSAGE_VERSION,
    RUN_JOB,
    SWEEP,
    queue_of,
)
from scheduler_bridge.dispatch.transport import LARGEST_BYTES
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import QUICK, announce, configuration, ended, until

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

QUEUE = queue_of("quick")
TIMES = 3  # more often than there are slots: one that held a slot or a credit would hold all
DROPPED = "message from"
BROADCASTS = "/0.celery.pidbox"


def encoded(body: bytes) -> str:
    return base64.b64encode(body).decode()


def call(*arguments: Any, **named: Any) -> str:
    return encoded(json.dumps([arguments, named, {}]).encode())


def message(**changes: Any) -> dict[str, Any]:
    """A hint as the bridge writes it, except for `changes`; what is changed to None is left out."""
    whole = {
        "body": call(1, MESSAGE_VERSION),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": RUN_JOB, "id": "a"},
        "properties": {
            "delivery_tag": "b",
            "body_encoding": "base64",
            "delivery_info": {"exchange": QUEUE, "routing_key": QUEUE},
            "priority": 0,
        },
    }
    changed = {**whole, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return {name: value for name, value in changed.items() if value is not None}


def without(part: str, name: str) -> dict[str, Any]:
    whole = message()
    del whole[part][name]
    return whole


def with_header(**changes: Any) -> dict[str, Any]:
    return message(headers={**message()["headers"], **changes})


def with_property(**changes: Any) -> dict[str, Any]:
    return message(properties={**message()["properties"], **changes})


POISON: dict[str, bytes | dict[str, Any]] = {
    "not JSON": b"nobody's",
    "nothing at all": b"",
    "bytes that are no text": b"\xff\xfe\x00",
    "nested without end": b"[" * 100_000,
    "a number": b"7",
    "null": b"null",
    "a list": b"[1, 2]",
    "an empty object": b"{}",
    "a value that kombu would make an object of": b'{"__type__": "datetime", "__value__": 7}',
    "no headers": message(headers=None),
    "headers that are a list": message(headers=[1]),
    "headers that are a text": message(headers="task"),
    "no id": without("headers", "id"),
    "an id that is a list": with_header(id=[1]),
    "no task": without("headers", "task"),
    "a task that is a list": with_header(task=[1]),
    "an unknown task": with_header(task="somebody.elses"),
    "a time to wait for": with_header(eta="2999-01-01T00:00:00+00:00"),
    "an end that is no time": with_header(expires="soon"),
    "no properties": message(properties=None),
    "properties that are a list": message(properties=[1]),
    "no delivery tag": without("properties", "delivery_tag"),
    "a delivery tag that is a list": with_property(delivery_tag=[1]),
    "no delivery information": without("properties", "delivery_info"),
    "delivery information that is a text": with_property(delivery_info="here"),
    "an unknown encoding of the body": with_property(body_encoding="rot13"),
    "a body that is not base64": message(body="a"),
    "no body": message(body=None),
    "a body that is not JSON": message(body=encoded(b"nobody's")),
    "a body that is no text": message(body=encoded(b"\xff\xfe")),
    "a body that is a number": message(body=7),
    "a body of another shape": message(body=encoded(b"[1, 2]")),
    "a body whose parts are of another shape": message(body=encoded(b"[1, 2, 3]")),
    "too many arguments": message(body=call(1, MESSAGE_VERSION, 3)),
    "no arguments": message(body=call()),
    "named arguments that nobody knows": message(body=call(1, MESSAGE_VERSION, color=1)),
    "an argument that is no number": message(body=call("first", MESSAGE_VERSION)),
    "a number that no row can have": message(body=call(2**70, MESSAGE_VERSION)),
    "an unknown content type": message(content_type="application/x-nothing"),
    "no content type": message(content_type=None),
    "an unknown content encoding": message(content_encoding="rot13"),
    "pickle": message(
        content_type="application/x-python-serialize",
        content_encoding="binary",
        body=encoded(pickle.dumps([(1, 1), {}, {}])),
    ),
    "the first protocol": message(
        headers={},
        body=encoded(json.dumps({"task": RUN_JOB, "id": "a", "args": [1, 1], "kwargs": {}}).encode()),
    ),
    "more than ten megabytes": message(body=call("x" * 10 * LARGEST_BYTES, MESSAGE_VERSION)),
}


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(configuration(tmp_path / "conf", {"quick": QUICK}))


def written(entry: bytes | dict[str, Any]) -> bytes:
    return entry if isinstance(entry, bytes) else json.dumps(entry).encode()


def dropped(worker: Any) -> list[str]:
    return [line for line in worker.container.logs().splitlines() if DROPPED in line and " dropped: " in line]


def await_dropped(worker: Any, count: int, what: str) -> int:
    """Wait until at least so many have been dropped; how many."""
    until(lambda: len(dropped(worker)) >= count, f"{what} to be dropped", 10)
    return len(dropped(worker))


def assert_undisturbed(worker: Any) -> None:
    """Nothing was written but one line for each."""
    log = worker.container.logs()
    assert "Traceback" not in log and "begins anew" not in log and "onnection to broker lost" not in log


def assert_runs_a_job(connection: Connection) -> None:
    stream = insert(connection, a_stream(a_job("quick")))
    announce(connection)
    assert ended(connection, stream["quick"]) == ["Completed"]


def test_a_worker_drops_every_kind_of_poison_with_one_line_each_and_runs_the_next_job(
    connection: Connection, start_process: Start, start_worker: Start, config: str, redis_url: str
) -> None:
    variables = {"SCHEDULER_BRIDGE_CONFIG": config, "SCHEDULER_BRIDGE_SWEEP_SECONDS": "1"}
    start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)
    worker = start_worker("w1", **variables)
    pid = worker.container.pid
    count = 0
    with redis.Redis.from_url(redis_url) as client:
        for kind, entry in POISON.items():
            client.lpush(QUEUE, *[written(entry)] * TIMES)
            count += TIMES
            assert await_dropped(worker, count, kind) == count, kind
            assert client.llen(QUEUE) == 0
    assert_undisturbed(worker)
    assert_runs_a_job(connection)
    assert worker.container.status == "running" and worker.container.pid == pid


def test_housekeeping_drops_poison_with_one_line_each_and_goes_on(
    start_worker: Start, connection: Connection, celery_setup_app: Any, redis_url: str
) -> None:
    worker = start_worker("h1", queues=HOUSEKEEPING)
    entries: list[bytes | dict[str, Any]] = [
        b"nobody's",
        b"{}",
        without("headers", "id"),
        with_header(task="somebody.elses"),
        with_header(task=LOOK_AGAIN, id="a") | {"body": call("all", MESSAGE_VERSION)},
        with_header(task=LOOK_AGAIN, id="a") | {"body": call(1)},
        with_header(task=RUN_JOB, id="a") | {"body": call()},
    ]
    with redis.Redis.from_url(redis_url) as client:
        for entry in entries:
            client.lpush(HOUSEKEEPING, *[written(entry)] * TIMES)
        until(lambda: len(dropped(worker)) == TIMES * len(entries), "all of them to be dropped", 10)
        celery_setup_app.send_task(SWEEP, queue=HOUSEKEEPING)
        swept = "select swept_at > '-infinity' from scheduler_bridge.progress"
        until(lambda: connection.execute(swept).fetchone() == (True,), "a sweep")
    assert_undisturbed(worker)


def test_a_key_that_is_no_list_under_the_name_of_a_queue_is_removed(
    connection: Connection, start_process: Start, start_worker: Start, config: str, redis_url: str
) -> None:
    variables = {"SCHEDULER_BRIDGE_CONFIG": config, "SCHEDULER_BRIDGE_SWEEP_SECONDS": "1"}
    bridge = start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)
    worker = start_worker("w1", **variables)
    with redis.Redis.from_url(redis_url) as client:
        until(lambda: client.set(QUEUE, "not a list") and len(dropped(worker)) >= 2, "the keys to be removed")
    assert_runs_a_job(connection)
    assert_undisturbed(worker)
    assert "Traceback" not in bridge.logs()


def test_a_worker_answers_after_broadcasts_that_nobody_of_ours_has_sent(
    start_worker: Start, celery_setup_app: Any, redis_url: str
) -> None:
    worker = start_worker("h1", queues=HOUSEKEEPING)
    with redis.Redis.from_url(redis_url) as client:
        until(client.pubsub_numpat, "the worker to listen")
        for entry in (b"[1]", b"7", b"{}", b'{"properties": 1}'):
            assert client.publish(BROADCASTS, entry) == 1
        until(lambda: len(dropped(worker)) == 4, "the broadcasts to be dropped", 10)
        assert client.publish(BROADCASTS, b"nobody's") == 1
    assert len(celery_setup_app.control.ping(limit=1, timeout=10)) == 1
    assert "begins anew" not in worker.container.logs()
