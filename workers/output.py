"""The last part of what an agent has printed, for the job's log."""

from __future__ import annotations

from collections import deque
from threading import Lock

KEPT_BYTES = 256 * 1024


class Output:
    """Lines, oldest dropped first; written by the session's thread, read by any."""

    def __init__(self) -> None:
        self.version = 0  # grows with every addition: tells a reader whether there is something new
        self._lock = Lock()
        self._blocks: deque[bytes] = deque()
        self._bytes = 0

    def add(self, lines: str) -> None:
        """Append one or more lines, given without the last newline."""
        block = lines.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            self._blocks.append(block)
            self._bytes += len(block)
            while self._bytes - len(self._blocks[0]) >= KEPT_BYTES:
                self._bytes -= len(self._blocks.popleft())
            self.version += 1

    def last(self) -> bytes:
        """At most KEPT_BYTES of valid UTF-8, from the beginning of a line where there is one."""
        with self._lock:
            everything = b"".join(self._blocks)
        if len(everything) <= KEPT_BYTES:
            return everything
        kept = everything[-KEPT_BYTES:]
        first_newline = kept.find(b"\n", 0, -1)
        if first_newline >= 0:
            return kept[first_newline + 1 :]
        return kept.decode("utf-8", "ignore").encode()
