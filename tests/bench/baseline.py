"""Celery without us, to compare with: a no-op, and a stream as level after level of chords.

Threads and broker options are those of our own workers; a task sleeps in its thread and starts no process,
which is in Celery's favour. Its worker is `celery -A tests.bench.baseline worker`.
"""

from __future__ import annotations

import os
import time
from itertools import count
from typing import Any

import redis
from celery import Celery, chord, shared_task

QUEUE = "baseline"
DONE = "baseline.done"  # list of times, seconds since the epoch
NOOP = "baseline.noop"
NAP = "baseline.nap"
LEVEL = "baseline.level"

_seen = count(1)


def make_application(url: str) -> Celery:
    """The baseline on a broker that counts its chords too."""
    application = Celery("baseline", broker=url, backend=url)
    application.conf.update(
        broker_transport_options={"ack_emulation": False, "priority_steps": [0]},
        broker_connection_retry_on_startup=True,
        broker_pool_limit=1000,  # a chord's body publishes the next one from any thread
        task_default_queue=QUEUE,
        task_ignore_result=True,
        worker_send_task_events=True,
    )
    return application


app = make_application(os.environ.get("REDIS_URL", ""))  # of the worker


@shared_task(name=NOOP)
def noop(every: int) -> None:
    """Nothing, but the last of `every` says when."""
    if next(_seen) % every == 0:
        _say_when(DONE)


@shared_task(name=NAP)
def nap(milliseconds: int) -> None:
    """The sleep of a trivial agent without the agent."""
    time.sleep(milliseconds / 1000)


@shared_task(name=LEVEL)
def level(key: str, levels: list[list[int]]) -> None:
    """Publish the first level as a chord whose body publishes the rest; after the last, say when."""
    if not levels:
        return _say_when(key)
    body: Any = level.si(key, levels[1:])
    chord([nap.si(milliseconds) for milliseconds in levels[0]], body).apply_async()
    return None


def _say_when(key: str) -> None:
    with redis.Redis.from_url(app.conf.broker_url) as client:
        client.rpush(key, time.time())
