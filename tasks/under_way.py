"""The tasks of this worker that are under way: they outlast a database that is away, but not the worker's stop."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from scheduler_bridge.service import log_database_error
from workers.process import SpawnError

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0


class UnderWay:
    """Counts tasks, as a context manager around each; used by many threads."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()
        self._over = threading.Event()

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait_until_none(self, seconds: float) -> bool:
        """Wait until every task has ended; False when some have not."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._count, seconds)

    def give_up(self) -> None:
        """From now on nothing is tried again."""
        self._over.set()

    def persistently(self, verb: Callable[[], Answer]) -> Answer:
        """Repeat until the database has done it, or raise its error once tasks are to give up.

        The verbs of the store are safe to repeat: the epoch refuses what is out of date.
        """
        wait = FIRST_RETRY_SECONDS
        while True:
            try:
                return verb()
            except psycopg.OperationalError as error:
                if self._over.is_set():
                    raise
                log_database_error(error)
                self._over.wait(wait)
                wait = min(2 * wait, LONGEST_RETRY_SECONDS)

    def when_there_is_room(
        self, start: Callable[[], Answer], *, backoff_seconds: float, patience_seconds: float
    ) -> Answer:
        """Start an agent, and try again while the machine has no room for one more process.

        Waits up to `backoff_seconds` at random between two attempts, as FOSSology's scheduler does, so that many do
        not try at once. Raises SpawnError when `patience_seconds` are over.
        """
        until = time.monotonic() + patience_seconds
        while True:
            try:
                return start()
            except SpawnError as error:
                wait = random.uniform(0, backoff_seconds)
                if not error.passes or self._over.is_set() or time.monotonic() + wait > until:
                    raise
                log.warning("%s: tried again in %.1f s", error, wait, extra={"action": "no_room"})
                self._over.wait(wait)
