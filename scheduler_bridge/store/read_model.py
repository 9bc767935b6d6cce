"""What the read side hands out: frozen values, with the odd sentinels of the rows already gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduler_bridge.model.jobs import Ending, JobState
from scheduler_bridge.plan.admission import Obstacle


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """A job stream and how many of its jobs are where."""

    stream: int
    name: str
    priority: int
    queued_at: datetime | None
    completed: int
    failed: int
    running: int
    waiting: int
    ended_at: datetime | None  # None: it has jobs that have not ended, or none at all
    partial: bool = False  # ended jobs may be missing from the counts

    @property
    def open(self) -> int:
        """Jobs that have not ended."""
        return self.running + self.waiting


@dataclass(frozen=True, slots=True)
class StreamList:
    """Open streams and the last ones that have ended."""

    read_at: datetime
    streams: tuple[StreamSummary, ...]  # open ones by number, then ended ones, the last first


@dataclass(frozen=True, slots=True)
class JobReading:
    """A job as its row, the bridges' memory and the ledger show it."""

    job: int
    stream: int
    agent_type: str
    state: JobState | Ending  # of Ending only COMPLETED and FAILED
    items: int
    started_at: datetime | None  # the agent's first OK
    ended_at: datetime | None
    text: str  # jq_endtext
    wanted_host: str | None  # jq_host
    ignored: bool  # an order to schedulers of old: nothing runs it
    seen: bool  # a bridge has taken it in, or it needs none any more
    worker: str | None  # that has claimed it; started without one: another scheduler's
    proposed_at: datetime | None  # a hint is out since
    refused: Obstacle | None  # why the last claim was refused
    refused_at: datetime | None
    epoch: int  # number of the last attempt; 0: none yet
    host: str | None  # of the last attempt
    claimed_at: datetime | None
    reason: str  # how the last attempt ended, for people
    obstacle: Obstacle | None = None  # why it may not start; None: it may, does, or has ended

    @property
    def ended(self) -> bool:
        """Whether it has completed or failed."""
        return isinstance(self.state, Ending)

    @property
    def running(self) -> bool:
        """Whether somebody works on it."""
        return self.state in (JobState.CLAIMED, JobState.STARTED)


@dataclass(frozen=True, slots=True)
class StreamReading:
    """A stream with all its jobs."""

    read_at: datetime
    summary: StreamSummary
    jobs: tuple[JobReading, ...]  # by number


@dataclass(frozen=True, slots=True)
class Chain:
    """A job and what holds it up, down to the root."""

    read_at: datetime
    swept_at: datetime | None  # the last sweep; None: none yet
    jobs: tuple[JobReading, ...]  # each is held up by the next
    missing: int | None  # prerequisite of the last one that does not exist


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of a job's ledger."""

    epoch: int
    worker: str | None  # None: failed without being claimed
    host: str | None
    claimed_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    ending: Ending | None  # None: under way
    reason: str
    items: int
