"""How a worker ends: from the moment when it is told to, whatever its main thread is waiting for.

Celery ends in the main thread, the consumer first. A broker that is frozen holds that up for 10 to 20 s (measured), by
which agents would have less time than their supervisor leaves them; a reply to a broadcast might hold it up for ever.
So a thread of its own begins at once with what must be done: agents are told, jobs go back to the queue. When the main
thread has not ended the process soon after that, the process ends without it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from celery.signals import worker_shutting_down
from celery.worker import state as workers_state

from scheduler_bridge.leaving import leave

log = logging.getLogger(__name__)

state: Any = workers_state  # its stubs lack what is read here
Verb = Callable[[], bool]  # False: some tasks still wait for the database
MAIN_THREAD_SECONDS = 2.5  # for what is left to it when all that was to be done has been
ROUNDS = 2  # of asking for that and waiting: a task may have been received as the worker was told
# A service manager signals every process and its supervisor, which passes the signal on: that is not a second one.
DOUBLED_SECONDS = 2.0

# Celery sends this from the handler of a signal, and a second one may interrupt the first while it holds the lock.
cast(Any, worker_shutting_down).lock = threading.RLock()


class Ending:
    """The end of this process; one object a process. `begin` and `hasten` may be called in a signal's handler."""

    def __init__(self) -> None:
        self._work: Verb | None = None
        self._hasten: Verb | None = None
        self._told_at: float | None = None
        self._begun, self._hastened = threading.Lock(), threading.Lock()  # taken for good by whoever is first
        self._turn = threading.Lock()
        worker_shutting_down.connect(self._told)

    def attach(self, work: Verb, hasten: Verb | None = None) -> None:
        """What there is to do before the process may end, asked for more than once, and what hurries it."""
        self._work, self._hasten = work, hasten

    @property
    def hastened(self) -> bool:
        """Agents are to have no grace."""
        return self._hastened.locked()

    def begin(self) -> None:
        """Begin to end, in a thread: the main thread may hold any lock."""
        if self._begun.acquire(blocking=False):
            threading.Thread(target=self._end_process, name="ending", daemon=True).start()

    def wait(self) -> None:
        """For the main thread: begin, whatever ends the worker, and return when what there is to do has been done."""
        self.begin()
        self._do_work()

    def hasten(self) -> None:
        """Leave agents no grace, in a thread as well."""
        if self._hasten and self._hastened.acquire(blocking=False):
            threading.Thread(
                target=self._end_agents, args=(self._hasten,), name="hasten", daemon=True
            ).start()

    def _told(self, how: str, **_: Any) -> None:
        """Celery ignores a second SIGTERM; who repeats it does not want to wait for any grace."""
        now = time.monotonic()
        if self._told_at is None:
            self._told_at = now
        elif how == "Warm" and now - self._told_at > DOUBLED_SECONDS:
            self.hasten()
        self.begin()

    def _end_process(self) -> None:
        for _ in range(ROUNDS):
            self._do_work()
            time.sleep(MAIN_THREAD_SECONDS)
        _leave("although its main thread still waits")

    def _do_work(self) -> None:
        """One thread at a time; the next finds it done."""
        with self._turn:
            try:
                in_time = not self._work or self._work()
            except Exception:  # of a fault of ours; what is not done now is done when leases expire
                log.exception("this worker could not end in order", extra={"action": "end_failed"})
                in_time = False
            if not in_time:
                _leave_unheard()

    @staticmethod
    def _end_agents(hasten: Verb) -> None:
        log.warning("agents are ended without any grace", extra={"action": "hastened"})
        if not hasten():
            _leave_unheard()


def _leave_unheard() -> None:
    _leave("without waiting for tasks that wait for an answer of the database")


def _leave(why: str) -> None:
    """With the exit status that Celery keeps for either way to end."""
    leave(why, int(state.should_stop or state.should_terminate or 0))


ending = Ending()
