"""Is the agent alive? Silence and lack of progress; arithmetic only, `now` in seconds of a steady clock.

Silent: nothing printed for longer than `death_seconds`. Without progress: in more than `update_number`
intervals of `update_seconds` in a row no HEART said that the agent is alive, although it went on printing.
"""

from __future__ import annotations

import math


class Watch:
    """Watches one agent during one job."""

    def __init__(
        self, *, death_seconds: float, update_seconds: float, update_number: int, now: float
    ) -> None:
        self._death_seconds = death_seconds
        self._update_seconds = update_seconds
        self._update_number = update_number
        self._enabled = True
        self.counts_progress = True  # pre-2.0 agents cannot tell of any
        self.restart(now)

    def restart(self, now: float) -> None:
        """Forget the past: the agent was paused, or was exempt."""
        self._heard_at = now
        self._interval_ends = now + self._update_seconds
        self._intervals_without_progress = 0
        self._alive = False

    def put_off(self, seconds: float) -> None:
        """So long nobody could hear the agent, who perhaps could say nothing either."""
        self._heard_at += seconds
        self._interval_ends += seconds

    def enable(self, enabled: bool, now: float) -> None:
        """NOKILL switches it off."""
        if enabled and not self._enabled:
            self.restart(now)
        self._enabled = enabled

    def heard(self, now: float) -> None:
        """The agent has printed something."""
        self._heard_at = now

    def progressed(self) -> None:
        """The agent has said that it is alive."""
        self._alive = True

    def look_at(self) -> float:
        """When `verdict` has to be asked next."""
        if not self._enabled:
            return math.inf
        silent_at = self._heard_at + self._death_seconds
        return min(silent_at, self._interval_ends) if self.counts_progress else silent_at

    def verdict(self, now: float) -> str | None:
        """Why the agent has to be killed, or None."""
        if not self._enabled:
            return None
        if now - self._heard_at >= self._death_seconds:
            return f"no heartbeat for {now - self._heard_at:.0f} seconds"
        if self.counts_progress and now >= self._interval_ends:
            self._intervals_without_progress = 0 if self._alive else self._intervals_without_progress + 1
            self._alive = False
            self._interval_ends = now + self._update_seconds
            if self._intervals_without_progress > self._update_number:
                seconds = self._intervals_without_progress * self._update_seconds
                return f"agent has not set the alive flag for {seconds:.0f} seconds"
        return None
