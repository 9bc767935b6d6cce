"""The tasks of this worker that are under way: they outlast a database that is away, but not the worker's stop."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg_pool import PoolTimeout

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

AWAY = (psycopg.OperationalError, PoolTimeout)  # what is raised while the database cannot be reached
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
        """Repeat until the database answers, or raise its error once tasks are to give up.

        The verbs of the store are safe to repeat: the epoch refuses what is out of date.
        """
        wait = FIRST_RETRY_SECONDS
        while True:
            try:
                return verb()
            except AWAY as error:
                if self._over.is_set():
                    raise
                log_away(error)
                self._over.wait(wait)
                wait = min(2 * wait, LONGEST_RETRY_SECONDS)


def log_away(error: Exception, what: str = "") -> str:
    """One line about a database that cannot be reached, and what it means for `what`; the line, for the task."""
    sentence = f"{what}the database cannot be reached: {' '.join(str(error).split())}"
    log.warning("%s", sentence, extra={"action": "database_away"})
    return sentence


def leave() -> None:
    """End this process without waiting for threads that wait for the database; expired leases free their jobs."""
    facts = {"action": "stopped_unheard"}
    log.warning("stopped without waiting for tasks that wait for an answer of the database", extra=facts)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
