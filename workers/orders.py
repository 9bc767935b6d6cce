"""What a session can be told from outside while it runs."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, slots=True)
class Stop:
    """The worker stops: the agent ends by the stop ladder, or is killed, and the row becomes free again."""

    at_once: bool = False  # without the ladder's grace


@dataclass(frozen=True, slots=True)
class Abandon:
    """The job is no longer ours, or nobody's: the agent is killed at once and nothing is written into the row."""

    reason: str = "the claim is gone"


@dataclass(frozen=True, slots=True)
class Kill:
    """The operator's kill: the job fails with this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """The agent's group is stopped in its tracks; no timer runs meanwhile."""


@dataclass(frozen=True, slots=True)
class Resume:
    """A paused agent goes on."""


@dataclass(frozen=True, slots=True)
class SetVerbosity:
    """What today's agents are told by VERBOSE."""

    level: int


@dataclass(frozen=True, slots=True)
class SetPriority:
    """Nice value of the agent's group, -20 to 19."""

    nice: int


Order = Stop | Abandon | Kill | Pause | Resume | SetVerbosity | SetPriority


class Inbox:
    """Orders on their way to the session's thread, and the descriptor that wakes it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._orders: deque[Order] = deque()
        self._pipe: tuple[int, int] | None = None  # while the session runs

    def put(self, order: Order) -> None:
        """From any thread; an order to a session that has ended is lost, as it would be anyway."""
        with self._lock:
            self._orders.append(order)
            if self._pipe is not None and len(self._orders) == 1:
                os.write(self._pipe[1], b"!")

    def open(self) -> int:
        """A descriptor that is readable while there are orders."""
        with self._lock:
            self._pipe = os.pipe()
            if self._orders:
                os.write(self._pipe[1], b"!")
            return self._pipe[0]

    @property
    def waiting(self) -> bool:
        """There are orders: the descriptor is readable."""
        return bool(self._orders)

    def take(self) -> list[Order]:
        """All orders in the sequence they were given; only while some are waiting."""
        with self._lock:
            assert self._pipe is not None
            os.read(self._pipe[0], 1)
            orders = list(self._orders)
            self._orders.clear()
            return orders

    def close(self) -> None:
        """Let go of the descriptor."""
        with self._lock:
            if self._pipe is not None:
                os.close(self._pipe[0])
                os.close(self._pipe[1])
                self._pipe = None
