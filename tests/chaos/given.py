"""What has come of the orders of a trial; jobs are known by their position."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from tests.chaos.orders import Verb
from tests.chaos.rows import Row


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody may begin a job from then until then, nor go on with it for long; the database's clock."""

    job: int  # position
    verb: Verb  # that asked for it
    since: float  # the order had been carried out
    until: float = math.inf  # it was about to be taken back

    def covers(self, at: float) -> bool:
        """Whether it is the time of no work."""
        return self.since < at < self.until


@dataclass(frozen=True, slots=True)
class Drain:
    """A worker that was told to leave."""

    host: str
    worker: str | None  # owner of its claims; None: the host has never had one
    since: float  # the order had been carried out; the database's clock


@dataclass
class Given:
    """All of it."""

    silences: list[Silence] = field(default_factory=list)  # also those that last
    kills: dict[int, Row] = field(default_factory=dict)  # rows as they were right after a kill
    killed: set[int] = field(default_factory=set)  # those that a kill has ended
    lives: dict[int, list[int]] = field(
        default_factory=dict
    )  # last attempts before a rerun let the job wait again
    drains: list[Drain] = field(default_factory=list)

    def end_silences(self, job: int, at: float) -> None:
        """Those of a job that last are taken back."""
        for place, silence in enumerate(self.silences):
            if silence.job == job and silence.until == math.inf:
                self.silences[place] = replace(silence, until=at)

    def let_live_again(self, job: int, epoch: int, at: float) -> None:
        """It waits as if never started: what came before counts no more; `epoch` is its last attempt."""
        self.end_silences(job, at)
        self.kills.pop(job, None)
        self.killed.discard(job)
        self.lives.setdefault(job, []).append(epoch)

    def life_begins(self, job: int) -> int:
        """The last attempt of the lives before its present one; 0 in its first."""
        return self.lives.get(job, [0])[-1]
