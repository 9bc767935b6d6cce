"""Finds out that a worker has stopped consuming, although it lives and answers every ping, and makes it consume again.

A message to a queue of this very process goes through the broker and comes back by the consumer that fetches jobs,
every ten seconds. It takes no slot: the consumer itself receives it. When it does not come back twice in a row although
the broker takes messages and a slot is free, the consumer is dead. Then its connection is given up and made anew, which
disturbs no agent; when that does not help either, the worker ends in order, jobs go back to the queue, and its
supervisor starts it again.

Nothing is concluded while the broker does not answer: then the consumer connects anew by itself. Nor while every slot
is taken: then it asks for nothing.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable
from enum import Enum
from typing import Any

from kombu import Queue

from scheduler_bridge.dispatch.application import BridgeCelery
from scheduler_bridge.dispatch.routes import CANARY, canary_queue
from scheduler_bridge.dispatch.transport import BROKER_ERRORS

log = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
MISSES = 2  # in a row
RESTARTS = 1  # in a row, before the worker ends
ABSENT_SECONDS = 30.0  # without a consumer although the broker answers
KEEP_SECONDS = 60  # of what nobody fetches in the broker


class Verdict(Enum):
    """What is to be done about the consumer."""

    FINE = "nothing"
    RESTART = "make it anew"
    GIVE_UP = "end the worker"


class Rounds:
    """Counts what came back and what did not; told the time, so that it can be tried without any."""

    def __init__(self) -> None:
        self._sent_at: float | None = None  # None: nothing is under way
        self._heard_at = -math.inf
        self._misses = 0
        self._restarts = 0
        self._absent_since: float | None = None  # with a broker that answers

    def attached(self) -> None:
        """There is a consumer, a new one."""
        self._sent_at = self._absent_since = None
        self._misses = 0

    def heard(self, now: float) -> None:
        """The consumer has received something: a canary or a job."""
        self._heard_at = now
        self._misses = self._restarts = 0

    def beat(self, now: float, *, sent: bool, consuming: bool, free: bool) -> Verdict:
        """Judge: `sent`: the broker took a message now; `consuming`: there is a consumer; `free`: and a slot."""
        if not consuming or not sent:
            self._sent_at, self._misses = None, 0
            return self._absence(now) if sent else self._away()
        missed = self._sent_at is not None and self._heard_at < self._sent_at
        self._misses = self._misses + 1 if missed and free else 0
        self._sent_at = now if free else None
        if self._misses < MISSES:
            return Verdict.FINE
        self._misses = 0
        self._restarts += 1
        return Verdict.GIVE_UP if self._restarts > RESTARTS else Verdict.RESTART

    def _away(self) -> Verdict:
        """The broker does not answer: whoever waits for it is right."""
        self._absent_since = None
        return Verdict.FINE

    def _absence(self, now: float) -> Verdict:
        """The broker answers, and nobody consumes."""
        if self._absent_since is None:
            self._absent_since = now
        return Verdict.GIVE_UP if now - self._absent_since >= ABSENT_SECONDS else Verdict.FINE


class Canary:
    """The thread that sends, and the queue of this process."""

    def __init__(
        self, app: BridgeCelery, *, restart: Callable[[Any], None], give_up: Callable[[Any], None]
    ) -> None:
        """`restart` makes a consumer begin anew, from any thread; `give_up` ends the worker, from any thread."""
        self._app = app
        self._restart = restart
        self._give_up = give_up
        self.queue = canary_queue(str(uuid.uuid4()))  # of this process alone, whatever its name
        self._rounds = Rounds()
        self._lock = threading.Lock()
        self._consumer: Any = None
        self._last: Any = None  # consumer
        self._thread: threading.Thread | None = None

    def attach(self, consumer: Any) -> None:
        """A consumer begins, in its thread."""
        with self._lock:
            self._consumer = self._last = consumer
            self._rounds.attached()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="canary", daemon=True)
            self._thread.start()

    def detach(self) -> None:
        """The consumer has lost its broker, or ends."""
        with self._lock:
            self._consumer = None

    def heard(self) -> None:
        """The consumer has received a message."""
        with self._lock:
            self._rounds.heard(time.monotonic())

    def _watch(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            try:
                self._beat()
            except Exception:
                log.exception("the consumer could not be watched", extra={"action": "canary_failed"})

    def _beat(self) -> None:
        consumer = self._consumer
        free = consumer is not None and has_room(consumer)
        if consumer is not None:
            consumer.call_soon(self._open, consumer)
        now = time.monotonic()  # before the message goes: it may be back before the call is
        sent = self._send()
        with self._lock:
            if consumer is not self._consumer:
                return
            verdict = self._rounds.beat(now, sent=sent, consuming=consumer is not None, free=free)
            if verdict is Verdict.RESTART:
                self._consumer = None  # until the next one is attached
        if verdict is Verdict.RESTART:
            facts = {"action": "consumer_restarted"}
            log.error("nothing is consumed although the broker answers: connecting anew", extra=facts)
            self._restart(consumer)
        elif verdict is Verdict.GIVE_UP:
            self._give_up(self._last)

    def _open(self, consumer: Any) -> None:
        """Only now: at a worker's start Redis would be asked for this queue alone, and for jobs a second later."""
        tasks = consumer.task_consumer
        if self._consumer is consumer and not tasks.consuming_from(self.queue):
            tasks.add_queue(Queue(self.queue))
            tasks.consume()

    def _send(self) -> bool:
        """Send one; whether the broker took it."""
        headers = {"task": CANARY, "id": str(uuid.uuid4())}
        try:
            with self._app.producer_or_acquire() as producer:
                producer.publish("", routing_key=self.queue, exchange="", headers=headers, retry=False)
                producer.channel.client.expire(self.queue, KEEP_SECONDS)
        except BROKER_ERRORS:
            return False
        return True


def has_room(consumer: Any) -> bool:
    """Whether the consumer fetches messages now; with every slot taken it does not."""
    return bool(consumer.task_consumer and consumer.task_consumer.channel.qos.can_consume())
