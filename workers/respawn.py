"""How often an agent type may die and how long a warm agent is kept; arithmetic only.

`now` is always passed in: seconds on a clock that never goes back (`time.monotonic`), so that setting the
machine's date neither ends nor prolongs anything.
"""

from __future__ import annotations

from collections import deque

RESPAWN_DEATHS = 5  # pre-2.0 manual, RespawnCount
RESPAWN_SECONDS = 300.0  # pre-2.0 manual, RespawnInterval: the window, and the pause after it
KEPT_SECONDS = 20.0  # pre-2.0 manual, MINKILLTIME: without it two agent types with work take turns in dying
IDLE_SECONDS = 900.0  # pre-2.0 manual, MAXKILLTIME


class RespawnBudget:
    """Abnormal deaths of one agent type on one host: too many in a short time and it is left alone."""

    def __init__(self, deaths: int = RESPAWN_DEATHS, seconds: float = RESPAWN_SECONDS) -> None:
        self._seconds = seconds
        self._deaths: deque[float] = deque(maxlen=deaths)
        self._failed_until: float | None = None

    def died(self, now: float) -> None:
        """Count one abnormal death."""
        self._deaths.append(now)
        if len(self._deaths) == self._deaths.maxlen and now - self._deaths[0] <= self._seconds:
            self._failed_until = now + self._seconds
            self._deaths.clear()

    def ended_in_order(self) -> None:
        """An agent ended because it was told to: as the manual has it, the count begins anew."""
        self._deaths.clear()

    def seconds_left(self, now: float) -> float:
        """How long no agent of this type may be started; 0: one may."""
        return max(0.0, self._failed_until - now) if self._failed_until is not None else 0.0


def may_retire(idle_since: float, now: float) -> bool:
    """An idle agent may make room for another."""
    return now - idle_since >= KEPT_SECONDS


def must_retire(idle_since: float, now: float) -> bool:
    """An idle agent is no longer worth its memory."""
    return now - idle_since > IDLE_SECONDS
