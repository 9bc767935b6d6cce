"""Which queues this worker consumes: changed from any thread, carried out in the consumer's own.

A consumer is made anew after each loss of the broker. It then begins with what is wanted at that moment. A message that
Redis hands over for a queue that has just been closed is put back by kombu: other hosts get it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

log = logging.getLogger(__name__)


class OpenQueues:
    """The queues that are wanted, and the consumer that consumes them."""

    def __init__(self, kept: str) -> None:
        """`kept` is a queue that others open and nobody closes."""
        self._kept = kept
        self._lock = threading.Lock()
        self._wanted: frozenset[str] = frozenset()
        self._consumed: frozenset[str] | None = None  # None: no consumer, or not as wanted
        self._consumer: Any = None

    def want(self, queues: Iterable[str]) -> None:
        """Consume these and no others, soon; also tries again what did not work the last time."""
        with self._lock:
            self._wanted = frozenset(queues)
            consumer = self._consumer
            if consumer is None or self._wanted == self._consumed:
                return
        consumer.call_soon(self._turn)

    def attach(self, consumer: Any) -> None:
        """A consumer starts, in its thread. Raises the broker's errors, after which it starts again."""
        with self._lock:
            self._consumer = consumer
        self._change(consumer)

    def detach(self) -> None:
        """The consumer has lost its broker, or ends."""
        with self._lock:
            self._consumer = self._consumed = None

    def _turn(self) -> None:
        consumer = self._consumer
        if consumer is None or consumer.task_consumer is None:
            return
        try:
            self._change(consumer)
        except consumer.connection_errors as error:  # whoever consumes notices it too, and starts anew
            log.warning("the queues could not be changed: %s", error, extra={"action": "broker_away"})

    def _change(self, consumer: Any) -> None:
        self._consumed = None
        wanted = self._wanted
        known = {queue.name for queue in consumer.task_consumer.queues}
        for name in known - wanted - {self._kept}:
            consumer.cancel_task_queue(name)
        for name in sorted(wanted):
            if not consumer.task_consumer.consuming_from(name):
                consumer.app.amqp.queues[name]  # declared as those who publish declare it
                consumer.add_task_queue(name)
        self._consumed = wanted
