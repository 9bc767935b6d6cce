"""Task events leave a worker in batches.

Celery publishes them once a turn of its loop, which under load is once an event: half of a worker's processor time for
jobs that are short (measured). A tenth of a second of delay is nothing to people who watch.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker.consumer.events import Events

BATCH_SECONDS = 0.1
LARGEST_BATCH = 200  # events in one message of some 60 kB


class EventBatches(bootsteps.StartStopStep):
    """Makes the consumer's event dispatcher flush once a tenth of a second, when there is something to flush."""

    requires = (Events,)

    def __init__(self, consumer: Any, **_: Any) -> None:
        self._armed = False

    def start(self, consumer: Any) -> None:
        """Take over from Celery's way; again after each reconnect, which makes a new dispatcher."""
        dispatcher = consumer.event_dispatcher
        if consumer.hub is None or dispatcher is None:
            return
        self._armed = False

        def flush() -> None:
            self._armed = False
            dispatcher.flush()

        def arm() -> None:  # called by pool threads: the loop's timers belong to the loop
            if not self._armed:
                self._armed = True
                consumer.hub.call_soon(lambda: consumer.hub.call_later(BATCH_SECONDS, flush))

        dispatcher.buffer_limit = LARGEST_BATCH
        dispatcher.on_send_buffered = arm

    def stop(self, consumer: Any) -> None:
        """Celery flushes and closes the dispatcher itself."""
