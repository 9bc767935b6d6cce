"""Whether the parts have come up: each says so in a line of its log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

READY = {
    "bridge": "bridge ready.",
    "worker": " ready.",
    "housekeeping": " ready.",
    "beat": "beat: Starting",
}
LONGEST_SECONDS = 60.0  # a broker that is away is waited for, but not by whoever has started the daemon


class Startup:
    """Follows the first lines of some parts, told from their readers' threads."""

    def __init__(self, parts: Collection[str], up: Callable[[str], None]) -> None:
        """`up` is called when all are ready, or when that takes too long, with a remark about those that are not."""
        self._waiting = set(parts) & set(READY)
        self._up = up
        self._lock = threading.Lock()
        self._timer = threading.Timer(LONGEST_SECONDS, self._give_up)
        self._timer.daemon = True

    @property
    def waiting(self) -> list[str]:
        """The parts that have not said that they are ready."""
        with self._lock:
            return sorted(self._waiting)

    def begin(self) -> None:
        """The parts are being started."""
        self._timer.start()

    def heard(self, part: str, line: str) -> None:
        """A part has said something."""
        if READY.get(part, "\n") not in line:
            return
        with self._lock:
            last = self._waiting == {part}
            self._waiting.discard(part)
        if last:
            self.end()
            self._up("")

    def end(self) -> None:
        """Nobody waits any more."""
        self._timer.cancel()

    def _give_up(self) -> None:
        self._up(f"not ready yet: {', '.join(self.waiting)}; see the log")
