"""Signals that wait until they are taken.

A handler in Python runs in the main thread, between two of its steps. A signal that comes while another is under way
may be delivered to another thread, and a main thread that waits for a lock or a queue is not told of it (measured: a
SIGHUP and a SIGTERM at once, and the second was not noticed). Python itself writes each signal's number to a socket at
once, in whichever thread: that ends the waiting here, and no signal is missed just before it begins.
"""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Collection
from contextlib import suppress
from types import FrameType

WOKEN = 0  # no signal's number


class Signals:
    """What this process was sent and has not taken yet; made, and used but for `wake`, by the main thread."""

    def __init__(self) -> None:
        self._waiting, self._recorder = socket.socketpair()
        self._recorder.setblocking(False)
        self._handlers: dict[signal.Signals, object] = {}  # as they were before

    def heed(self, numbers: Collection[signal.Signals]) -> None:
        """From now on these do nothing but wait here."""
        self._handlers = {number: signal.signal(number, _noted) for number in numbers} | self._handlers
        signal.set_wakeup_fd(self._recorder.fileno(), warn_on_full_buffer=False)

    def give_back(self) -> None:
        """Let all be heeded as they were before."""
        if self._handlers:
            signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave us
        self._handlers = {}

    def ignore(self) -> None:
        """From now on none is heeded: this process ends."""
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)

    def take(self, timeout: float | None = None) -> bytes:
        """The numbers of all that wait, after waiting for one; none when `timeout` (seconds) is over."""
        ready, _, _ = select.select([self._waiting], [], [], timeout)
        return self._waiting.recv(4096) if ready else b""

    def wake(self) -> None:
        """Let `take` return WOKEN too; from any thread."""
        with suppress(OSError):  # so many wait that one more means nothing
            self._recorder.send(bytes([WOKEN]))


def _noted(number: int, frame: FrameType | None) -> None:
    """A handler must exist for the signal to be written; there is nothing else to do in it."""
