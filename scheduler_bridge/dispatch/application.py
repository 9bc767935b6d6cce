"""The Celery application, configured once for bridge, workers, beat and Flower.

What the settings mean and why was measured on the pinned versions; the tests in tests/integration fail when an upgrade
makes one of them wrong:

- No redelivery (`ack_emulation` off, early acknowledgement): a message is a hint, the sweep brings back what is lost.
- No prefetch: a message never waits in a busy worker while another worker is idle.
- No result of a task is ever read. The result backend exists because Redis counts the members of a chord there.
- Connections that publish or count give up after half a second on a frozen Redis; only the one that consumes may wait.
  After that all of this process fail at once for a moment (`Quiet`): counting is up to four commands and a message.
  So do events, which nobody waits for: they are dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.app.control import Control
from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from kombu import Connection, Producer
from kombu.pidbox import Mailbox

from scheduler_bridge.dispatch import counting
from scheduler_bridge.dispatch.quiet import Quiet
from scheduler_bridge.dispatch.transport import BROKER_ERRORS, GuardedConnection
from scheduler_bridge.redis_url import redis_settings
from scheduler_bridge.settings import Settings
from scheduler_bridge.wiring import redis_url

PUBLISH_SECONDS = 0.5
CONSUME_SECONDS = 5
CHORD_SECONDS = 30 * 86_400  # longer than the longest wait of a stream
POOL_LIMIT = 64  # >= 4 x threads; nested acquisition blocks for ever below it

Dispatcher: Any = EventDispatcher  # its stubs lack what is changed here


class ImpatientDispatcher(Dispatcher):  # type: ignore[misc]  # untyped package
    """Events for those who watch: while the broker does not take them they are dropped, not saved up.

    Saved, each would be tried again at every flush, half a second each, under a lock that finished tasks wait for.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.buffer_while_offline = False

    def _publish(self, *args: Any, **options: Any) -> None:
        with suppress(*BROKER_ERRORS), self.app.quiet.respected():
            super()._publish(*args, **options)


class ImpatientEvents(Events):
    """Celery's, with that dispatcher."""

    dispatcher_cls = f"{__name__}:ImpatientDispatcher"


class SilentMailbox(Mailbox):
    """Celery's, whose replies to a broadcast are dropped while the broker does not take them: the asker asks again."""

    def _publish_reply(self, *args: Any, **options: Any) -> None:
        with suppress(*BROKER_ERRORS):
            super()._publish_reply(*args, **options)


class Broadcasts(Control):
    """Celery's, with that mailbox."""

    Mailbox = SilentMailbox


class Messaging(AMQP):
    """Celery's, on guarded connections."""

    Connection = GuardedConnection


class BridgeCelery(Celery):
    """Celery whose publishing connections are impatient, and which publishes all of a canvas by one producer."""

    amqp_cls = f"{__name__}:Messaging"
    events_cls = f"{__name__}:ImpatientEvents"
    control_cls = f"{__name__}:Broadcasts"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.quiet = Quiet()
        self._own = threading.local()

    @contextmanager
    def one_producer(self) -> Iterator[Producer]:
        """A producer in batch mode, used by everything that this thread publishes inside.

        A chord hands its producer to nobody: without this its members would go out one by one.
        """
        with self.producer_or_acquire() as producer, producer.batch():
            self._own.producer = producer
            try:
                yield producer
            finally:
                self._own.producer = None

    def producer_or_acquire(self, producer: Producer | None = None) -> Any:
        """The producer given, else that of `one_producer` around us, else one of the pool.

        Entering the last raises BrokerSilent while the broker is left alone.
        """
        own = producer or getattr(self._own, "producer", None)
        return super().producer_or_acquire(own) if own else self._acquired()

    @contextmanager
    def _acquired(self) -> Iterator[Any]:
        with self.quiet.respected(), super().producer_or_acquire() as producer:
            yield producer

    def connection_for_write(self, url: str | None = None, **options: Any) -> Connection:
        impatient = {
            "socket_timeout": PUBLISH_SECONDS,
            "socket_connect_timeout": PUBLISH_SECONDS,
            "max_retries": 0,  # of connecting; kombu would go on for two seconds
        }
        options["transport_options"] = {**(options.get("transport_options") or {}), **impatient}
        return super().connection_for_write(url, **options)


SETTINGS: Mapping[str, Any] = {
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": 2,
    "broker_pool_limit": POOL_LIMIT,
    "broker_channel_error_retry": True,
    "broker_transport_options": {
        "ack_emulation": False,
        "priority_steps": [0],
        "socket_connect_timeout": 2,
        "socket_timeout": CONSUME_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": False,
    },
    "redis_socket_timeout": PUBLISH_SECONDS,
    "redis_socket_connect_timeout": PUBLISH_SECONDS,
    "redis_retry_on_timeout": False,
    "result_backend_transport_options": {"retry_policy": {"max_retries": 0}},
    "result_chord_expires": CHORD_SECONDS,
    "task_ignore_result": True,
    "task_publish_retry": False,
    "task_acks_late": False,
    "task_serializer": "json",
    "task_create_missing_queues": True,
    "task_send_sent_event": False,
    "event_serializer": "json",
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "worker_consumer": "tasks.consumer:Consumer",
    "worker_pool": "tasks.pool:WakingPool",
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "worker_hijack_root_logger": True,
    "worker_redirect_stdouts": False,
    "enable_utc": True,
    "timezone": "UTC",
}


def application_of(settings: Settings) -> BridgeCelery:
    """The application on the broker that the settings of this process name. Raises SettingsError."""
    ca_file = str(settings.redis_ca_file) if settings.redis_ca_file else None
    redis = redis_settings(redis_url(settings), settings.redis_verify, ca_file)
    return make_application(redis, slots=max(settings.slots, 1), events=settings.events)


def make_application(redis: Mapping[str, Any], *, slots: int = 10, events: bool = True) -> BridgeCelery:
    """The application on this Redis (broker and result backend settings, as `redis_settings` gives them)."""
    app = BridgeCelery("scheduler_bridge", set_as_current=True)
    backend = f"{counting.__name__}:{counting.CountingBackend.__name__}+{redis['result_backend']}"
    changing = {"result_backend": backend, "worker_concurrency": slots, "worker_send_task_events": events}
    app.conf.update(deepcopy({**SETTINGS, **redis, **changing}))
    return app
