"""A broker that has just kept somebody waiting is left alone for a moment by this whole process.

Each call waits half a second for a broker that is frozen. A pass over a thousand streams would wait a thousand times,
and a chord's last member four times over. So the first who has waited in vain tells the others, who fail at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kombu.exceptions import KombuError
from redis.exceptions import TimeoutError as RedisTimeoutError

from scheduler_bridge.dispatch.transport import BROKER_ERRORS

# Twice what the wait has cost, so that a frozen broker takes a third of anybody's time at most; and less than half an
# interval of the sweep as shipped (2.5 s), so that a broker that is back is given all that the next sweep proposes.
QUIET_SECONDS = 1.0
TIMEOUTS = (RedisTimeoutError, TimeoutError)


class BrokerSilent(KombuError):
    """Nothing was tried: the broker has just let somebody else of this process wait in vain."""


class Quiet:
    """Whether the broker is left alone just now; one an application, shared by its threads."""

    def __init__(self, seconds: float = QUIET_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until = float("-inf")

    @contextmanager
    def respected(self) -> Iterator[None]:
        """Raise BrokerSilent instead of the block while it is quiet; a timeout in the block makes it quiet."""
        if self._clock() < self._until:
            raise BrokerSilent("it has just not answered in time")
        try:
            yield
        except BROKER_ERRORS as error:
            if is_timeout(error):
                self._until = self._clock() + self._seconds
            raise


def is_timeout(error: BaseException | None) -> bool:
    """Whether an error is, or comes from, a wait that was too long; Celery and kombu wrap them."""
    while error is not None:
        if isinstance(error, TIMEOUTS):
            return True
        error = error.__cause__ or error.__context__
    return False
