"""The Celery application, configured once for bridge, workers, beat and Flower.

What the settings mean and why was measured on the pinned versions; the tests in tests/integration fail when an upgrade
makes one of them wrong:

- No redelivery (`ack_emulation` off, early acknowledgement): a message is a hint, the sweep brings back what is lost.
- No prefetch: a message never waits in a busy worker while another worker is idle.
- No result of a task is ever read. The result backend exists because Redis counts the members of a chord there.
- Connections that publish or count give up after half a second on a frozen Redis; only the one that consumes may wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.backends.redis import RedisBackend
from kombu import Connection, Producer

PUBLISH_SECONDS = 0.5
CONSUME_SECONDS = 5
CHORD_SECONDS = 30 * 86_400  # longer than the longest wait of a stream
POOL_LIMIT = 64  # >= 4 x threads; nested acquisition blocks for ever below it


class CountingBackend(RedisBackend):
    """Redis as the counter of chord members and nothing else: no result is awaited, so none is subscribed to."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Celery would subscribe to each published task's result here: two commands and a connection a task."""

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:
        """The same for each member of a published chord."""
        return result

    def remove_pending_result(self, result: Any) -> Any:
        """Nothing was subscribed to."""
        return result


class BridgeCelery(Celery):
    """Celery whose publishing connections are impatient, and which publishes all of a canvas by one producer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._own = threading.local()

    @contextmanager
    def one_producer(self) -> Iterator[Producer]:
        """A producer in batch mode, used by everything that this thread publishes inside.

        A chord hands its producer to nobody: without this its members would go out one by one.
        """
        with super().producer_or_acquire() as producer, producer.batch():
            self._own.producer = producer
            try:
                yield producer
            finally:
                self._own.producer = None

    def producer_or_acquire(self, producer: Producer | None = None) -> Any:
        """The producer given, else that of `one_producer` around us, else one of the pool."""
        own = producer or getattr(self._own, "producer", None)
        return super().producer_or_acquire(own)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Connection:
        impatient = {"socket_timeout": PUBLISH_SECONDS, "socket_connect_timeout": PUBLISH_SECONDS}
        options["transport_options"] = {**(options.get("transport_options") or {}), **impatient}
        return super().connection_for_write(url, **options)


def make_application(redis: Mapping[str, Any], *, slots: int = 10, events: bool = True) -> BridgeCelery:
    """The application on this Redis (broker and result backend settings, as `redis_settings` gives them)."""
    app = BridgeCelery("scheduler_bridge", set_as_current=True)
    backend = f"{__name__}:CountingBackend+{redis['result_backend']}"
    app.conf.update(
        **{**redis, "result_backend": backend},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=2,
        broker_pool_limit=POOL_LIMIT,
        broker_transport_options={
            "ack_emulation": False,
            "priority_steps": [0],
            "socket_connect_timeout": 2,
            "socket_timeout": CONSUME_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "retry_on_timeout": False,
        },
        redis_socket_timeout=PUBLISH_SECONDS,
        redis_socket_connect_timeout=PUBLISH_SECONDS,
        redis_retry_on_timeout=False,
        result_chord_expires=CHORD_SECONDS,
        task_ignore_result=True,
        task_publish_retry=False,
        task_acks_late=False,
        task_serializer="json",
        event_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_create_missing_queues=True,
        worker_pool="tasks.pool:WakingPool",
        worker_concurrency=slots,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_send_task_events=events,
        task_send_sent_event=False,
        worker_hijack_root_logger=True,
        worker_redirect_stdouts=False,
        enable_utc=True,
        timezone="UTC",
    )
    return app
