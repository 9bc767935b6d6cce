"""The consumer of every worker: outlasts what Celery's would end with, and says in one line what it drops.

An error that Celery takes for the end of the worker (one such fault of the library is reproducible: Redis ends while a
message is unacknowledged and more are waited for) would cost this host's agents, which run for days. Here it costs the
connection.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from celery import bootsteps
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown

from scheduler_bridge.dispatch.transport import log_dropped

log = logging.getLogger(__name__)

MOST_BREAKS = 5  # in BREAKS_SECONDS; then the worker ends, and its supervisor starts it again
BREAKS_SECONDS = 60.0
PAUSE_SECONDS = 1.0


BaseConsumer: Any = CeleryConsumer  # its stubs lack what is called here
ENDING = (cast(Any, bootsteps).CLOSE, cast(Any, bootsteps).TERMINATE)


class Consumer(BaseConsumer):  # type: ignore[misc]  # untyped package
    """Celery's, which starts anew instead of ending."""

    connection: Any
    heard: Callable[[], None] = staticmethod(lambda: None)  # called for each message that is a task's

    def start(self) -> None:
        """Consume until the worker ends. Raises what has broken it too often."""
        broken_at: deque[float] = deque(maxlen=MOST_BREAKS)
        while True:
            try:
                super().start()
                return
            except Exception as error:
                broken_at.append(time.monotonic())
                often = len(broken_at) == MOST_BREAKS and broken_at[-1] - broken_at[0] < BREAKS_SECONDS
                if often or self.blueprint.state in ENDING:
                    raise
                facts = {"action": "consumer_broken"}
                log.error("consuming broke and begins anew: %r", error, extra=facts, exc_info=True)
            self._begin_anew()

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Neither protocol of Celery's."""
        self._drop(message, "it is no task's", body)

    def on_unknown_task(self, body: Any, message: Any, error: Exception) -> None:
        """Of a task that this version does not have."""
        self._drop(message, f"there is no task {error}", body)

    def on_invalid_task(self, body: Any, message: Any, error: Exception) -> None:
        """Celery cannot make a request of it."""
        self._drop(message, error, body)

    def on_decode_error(self, message: Any, error: Exception) -> None:
        """Unknown or refused content."""
        self._drop(message, error, message.body)

    def _drop(self, message: Any, why: Exception | str, body: Any) -> None:
        log_dropped(str((message.delivery_info or {}).get("routing_key")), why, body)
        message.ack()

    def _begin_anew(self) -> None:
        """What Celery does after a lost connection, whatever state the old one is in."""
        connection, self.connection = self.connection, None
        if connection:
            with suppress(Exception):
                connection.collect(socket_timeout=PAUSE_SECONDS)
        self.on_close()
        self._cancel_connection_timer_entries()
        self.blueprint.restart(self)
        end = time.monotonic() + PAUSE_SECONDS
        while time.monotonic() < end:
            maybe_shutdown()
            time.sleep(0.1)
