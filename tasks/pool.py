"""The worker's pool: Celery's threads, whose ends wake the event loop, and whose agents no cold shutdown waits for.

With prefetch off a worker fetches a message only when a slot is free. Celery's own pool does not tell its loop that
a thread has ended, and the next message would wait for the loop's next timer, 0.7 s at the median (measured).

A cold shutdown (SIGQUIT, or a second SIGINT) stops the pool inside the signal's handler, before any bootstep may end
what the threads wait for: Celery's own pool would wait there until the last job has ended by itself. So this one has
the agents ended.
"""

from __future__ import annotations

from typing import Any, cast

from celery.concurrency.thread import TaskPool
from celery.worker import state

from tasks.ending import ending


class WakingPool(TaskPool):
    """One thread a slot; a free slot wakes the loop."""

    executor: Any  # Celery's, unknown to its stubs
    _loop: Any = None

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
        ending.hasten()

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """A cold shutdown asks for it: `on_stop` has the agents ended, and with them the threads end."""

    def _wake(self, _: Any) -> None:
        if self._loop is not None:
            self._loop.call_soon(int)
