"""The worker's pool: Celery's threads, whose ends wake the event loop, and whose agents no cold shutdown waits for.

With prefetch off a worker fetches a message only when a slot is free. Celery's own pool does not tell its loop that
a thread has ended, and the next message would wait for the loop's next timer, 0.7 s at the median (measured).

A cold shutdown (SIGQUIT, or a second SIGINT) stops the pool inside the signal's handler, before any bootstep may end
what the threads wait for: Celery's own pool would wait there until the last job has ended by itself. During a warm
shutdown the bootsteps are under way already, and are not told again. So the pool itself has the agents ended.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, cast

from celery.concurrency.thread import TaskPool
from celery.signals import worker_shutting_down
from celery.worker import state

from scheduler_bridge.dispatch.routes import RUN_JOB
from tasks.under_way import leave

log = logging.getLogger(__name__)

# A service manager signals every process and its supervisor, which passes the signal on: that is not a second one.
DOUBLED_SECONDS = 2.0

# Celery sends this from the handler of a signal, and a second one may interrupt the first while it holds the lock.
cast(Any, worker_shutting_down).lock = threading.RLock()


class WakingPool(TaskPool):
    """One thread a slot; a free slot wakes the loop."""

    executor: Any  # Celery's, unknown to its stubs
    _loop: Any = None
    _told_at: float | None = None  # when the worker was told to stop for the first time
    _hastened = False

    def on_start(self) -> None:
        super().on_start()
        worker_shutting_down.connect(self._told_to_stop)

    def register_with_event_loop(self, hub: Any) -> None:
        """Keep the loop that must be woken."""
        self._loop = hub

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:
        result = super().on_apply(*args, **kwargs)
        result.f.add_done_callback(self._wake)
        return result

    def on_stop(self) -> None:
        """In a cold shutdown the threads end with their agents, a moment later; the bootsteps wait for that."""
        if not cast(Any, state).should_terminate:
            super().on_stop()
            return
        self.executor.shutdown(wait=False, cancel_futures=True)
        self._hasten()

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """A cold shutdown asks for it: `on_stop` has the agents ended, and with them the threads end."""

    @property
    def _host(self) -> Any:
        """This worker's AgentHost; None: it is not there yet, or the worker does housekeeping."""
        return self.app.tasks[RUN_JOB].host

    def _wake(self, _: Any) -> None:
        if self._loop is not None:
            self._loop.call_soon(int)

    def _told_to_stop(self, how: str, **_: Any) -> None:
        """Celery ignores a second SIGTERM; who repeats it does not want to wait for any grace."""
        now = time.monotonic()
        if self._told_at is None:
            self._told_at = now
        elif how == "Warm" and now - self._told_at > DOUBLED_SECONDS:
            self._hasten()

    def _hasten(self) -> None:
        """In a thread: this is a signal's handler, and the main thread may hold any lock."""
        if not self._hastened and self._host is not None:
            self._hastened = True
            threading.Thread(target=self._end_agents, name="hasten", daemon=True).start()

    def _end_agents(self) -> None:
        log.warning("agents are ended without any grace", extra={"action": "hastened"})
        if not self._host.hasten():
            leave()
