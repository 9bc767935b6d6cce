"""Keeps embedded servers running: one that dies is started again, since the parts only have to connect anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from scheduler_bridge.errors import BridgeError
from scheduler_bridge.procfile import Backoff
from scheduler_bridge.servers import Server

MOST_ENDS = 5  # in a row, each soon after its start: the pauses between them are 15 s together

Tell = Callable[[str], None]


class Reviver:
    """Of one server. To be used by the main thread."""

    def __init__(self, server: Server, tell: Tell) -> None:
        """`tell` gets each end."""
        self._server = server
        self._tell = tell
        self._backoff = Backoff()
        self._started_at = time.monotonic()
        self._start_at: float | None = None  # monotonic; after an end that was told

    @property
    def pid(self) -> int:
        """Of the present or last process."""
        return self._server.process.pid

    def look(self) -> float | None:
        """Start the server again when that is due; the seconds until it is, None while it runs.

        Raises BridgeError when it has ended MOST_ENDS times in a row.
        """
        if not self._server.ended:
            return None
        now = time.monotonic()
        if self._start_at is None:
            self._start_at = now + self._delay_after(now - self._started_at)
        if now < self._start_at:
            return self._start_at - now
        self._start_at, self._started_at = None, now
        try:
            self._server.start_again()
        except OSError as error:
            self._tell(f"{self._server.name} could not be started: {error}")
            return self.look()  # counts as an end
        return None

    def _delay_after(self, lived_seconds: float) -> float:
        self._backoff = self._backoff.after(lived_seconds)
        delay = self._backoff.delay_seconds
        if self._backoff.ends >= MOST_ENDS:
            raise BridgeError(f"{self._server.name} has ended {MOST_ENDS} times in a row")
        self._tell(f"{self._server.name} has ended, starts again in {delay:.0f} s")
        return delay


def revive(revivers: Sequence[Reviver]) -> float | None:
    """Look after all; the seconds until the next start, None where none is due."""
    return min((seconds for reviver in revivers if (seconds := reviver.look()) is not None), default=None)
