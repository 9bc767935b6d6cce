"""The worker's pool: Celery's threads, whose ends wake the event loop.

With prefetch off a worker fetches a message only when a slot is free. Celery's own pool does not tell its loop that
a thread has ended, and the next message would wait for the loop's next timer, 0.7 s at the median (measured).
"""

from __future__ import annotations

from typing import Any

from celery.concurrency.thread import TaskPool


class WakingPool(TaskPool):
    """One thread a slot; a free slot wakes the loop."""

    _loop: Any = None

    def register_with_event_loop(self, hub: Any) -> None:
        """Keep the loop that must be woken."""
        self._loop = hub

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:
        result = super().on_apply(*args, **kwargs)
        result.f.add_done_callback(self._wake)
        return result

    def _wake(self, _: Any) -> None:
        if self._loop is not None:
            self._loop.call_soon(int)

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """A cold shutdown asks for it; the host's bootstep stops the agents, and with them the threads end."""
