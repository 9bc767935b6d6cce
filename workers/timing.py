"""How far a session is, and how long it may be there; arithmetic only, `now` in seconds of a steady clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from workers.watch import Watch


@dataclass(frozen=True, slots=True)
class Timers:
    """How long an agent may take, in seconds; the defaults are FOSSology's where it has one."""

    ready_seconds: float = 60.0  # from its start to its first OK
    death_seconds: float = 180.0  # of silence, unless NOKILL
    update_seconds: float = 120.0  # between two looks at its alive flag, unless NOKILL
    update_number: int = 5  # looks in a row that may find it not set
    grace_seconds: float = 20.0  # from SIGHUP to SIGKILL
    linger_seconds: float = 5.0  # from CLOSE to BYE, or from the end of the agent's output to its own
    working_seconds: float = math.inf  # from the first OK to the end of its work; jobs may take days


LOOKS = 20  # while the shortest of an agent's times passes, to see whether we run at all
SHORTEST_LOOK_SECONDS = 0.5


class Phase(Enum):
    """What the session waits for."""

    STARTING = "the first OK"
    WORKING = "the answer to the data"
    CLOSING = "the final count; the job is completed"
    MUTE = "the end of an agent that has closed its output"
    STOPPING = "the end of an agent after SIGHUP"
    KILLED = "the end of an agent after SIGKILL"


class Timing:
    """The phase of one session, its end, and the watch over a working agent; a pause stops all three."""

    def __init__(self, timers: Timers, now: float) -> None:
        self._timers = timers
        self.watch = Watch(
            death_seconds=timers.death_seconds,
            update_seconds=timers.update_seconds,
            update_number=timers.update_number,
            now=now,
        )
        self._paused_at: float | None = None
        shortest = min(timers.death_seconds, timers.ready_seconds)
        self._look_seconds = max(SHORTEST_LOOK_SECONDS, shortest / LOOKS)
        self.enter(Phase.STARTING, now)

    @property
    def paused(self) -> bool:
        """Nothing is due."""
        return self._paused_at is not None

    def enter(self, phase: Phase, now: float) -> None:
        """Begin a phase and its time."""
        self.phase = phase
        self._ends_at = now + self._longest(phase)

    def pause(self, now: float) -> None:
        """Stop the clocks."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """Let them go on: what was left of the phase is left, and silence counts from now."""
        if self._paused_at is not None:
            self._ends_at += now - self._paused_at
            self._paused_at = None
            self.watch.restart(now)

    def is_over(self, now: float) -> bool:
        """The phase has lasted too long."""
        return not self.paused and now >= self._ends_at

    def complaint(self, now: float) -> str | None:
        """Why a working agent has to be killed, or None."""
        if self.phase is not Phase.WORKING or self.paused:
            return None
        return self.watch.verdict(now)

    def seconds_left(self, now: float) -> float:
        """Until something is due; negative: it is."""
        if self.paused:
            return math.inf
        look_at = self.watch.look_at() if self.phase is Phase.WORKING else math.inf
        return min(look_at, self._ends_at) - now

    def longest_wait(self, now: float) -> float:
        """As `seconds_left`, but not so long that it could not be told afterwards whether this process ran."""
        left = self.seconds_left(now)
        return left if left == math.inf else min(left, self._look_seconds)

    def has_waited(self, seconds: float, longest: float) -> None:
        """A wait of `longest` has taken so many seconds: what is too much does not count.

        This process was stopped meanwhile, or its machine was, most likely with the agent, which is no silence of it.
        """
        late = seconds - max(0.0, longest)
        if late > self._look_seconds:
            self._ends_at += late
            self.watch.put_off(late)

    def _longest(self, phase: Phase) -> float:
        match phase:
            case Phase.STARTING:
                return self._timers.ready_seconds
            case Phase.WORKING:
                return self._timers.working_seconds
            case Phase.CLOSING | Phase.MUTE:
                return self._timers.linger_seconds
            case Phase.STOPPING | Phase.KILLED:
                return self._timers.grace_seconds
