"""What MemoryStore keeps of rows, attempts, streams and hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from scheduler_bridge.model.jobs import Ending
from scheduler_bridge.model.lease import RENEWALS_PER_LEASE

EXCLUSIVE_NEXT = "exclusive_next"  # obstacle of an exclusive job that may go now, before all others
NEXT_FOR = timedelta(seconds=60)  # so long the others let it go first
REPORT_COUNTS_FOR = timedelta(seconds=30)
NEVER = datetime.min.replace(tzinfo=UTC)
MOST_LENIENCES = 3  # passes in succession after which leases are taken back nevertheless


@dataclass(slots=True)
class OpenJob:
    """A row that has not ended."""

    stream: int
    agent_type: str
    host: str | None  # None: any
    priority: int
    needs: set[int]  # unsatisfied when last looked at; 0: a dependency that names no job
    before: int = 0  # number of the last attempt before the row was queued (again)
    planned: bool = False
    ready: bool = False
    follower: int | None = None
    proposed_at: datetime | None = None
    proposals: int = 0
    gave_way: bool = False  # its hint was used for a job that goes before it
    worker: str | None = None
    obstacle: str | None = None  # of the last refusal
    subject: str | None = None
    refused_at: datetime | None = None
    not_before: datetime | None = None  # its last attempt failed: the next waits until then

    @property
    def startable(self) -> bool:
        """Whether it waits for a hint."""
        return self.waits and self.proposed_at is None and not self.parked

    @property
    def parked(self) -> bool:
        """Whether it was refused and waits for what refused it to go away."""
        return self.obstacle not in (None, EXCLUSIVE_NEXT)

    @property
    def hinted(self) -> bool:
        """Whether a hint for it is under way."""
        return self.waits and self.proposed_at is not None and not self.parked

    def goes_first(self, now: datetime) -> bool:
        """Whether it runs alone and the others wait for it."""
        called = self.refused_at is not None and self.refused_at > now - NEXT_FOR
        waits = self.obstacle == "exclusive_waits" or (self.obstacle == EXCLUSIVE_NEXT and called)
        return self.waits and waits

    @property
    def waits(self) -> bool:
        """Whether it waits for no other job, and for no end of its own."""
        return self.ready and self.worker is None


@dataclass(slots=True)
class Attempt:
    """One attempt in the ledger."""

    job: int
    epoch: int
    stream: int
    agent_type: str
    worker: str | None = None  # None: failed without being claimed
    host: str | None = None
    expires_at: datetime | None = None
    started_at: datetime | None = None
    pid: int | None = None
    items: int = 0
    ending: Ending | None = None
    reason: str = ""


@dataclass(slots=True)
class StreamLease:
    """Who plans a stream."""

    owner: str | None = None
    until: datetime | None = None


@dataclass(slots=True)
class Turns:
    """When sweeps ran, and until when none takes a lease back for its time alone."""

    swept_at: datetime = NEVER
    lenient_until: datetime = NEVER
    leniences: int = 0

    def take(self, now: datetime, *, turn: timedelta, interval: timedelta, lease: timedelta) -> bool:
        """Take the turn; False when a sweep ran less than half of it ago."""
        ago = now - self.swept_at
        if -turn <= ago <= turn / 2:
            return False
        longest = max(lease / 2, min(3 * interval, lease * 2 / 3), 1.5 * interval)
        self.lenient_until = min(self.lenient_until, now + lease / RENEWALS_PER_LEASE)
        if ago > longest and self.leniences < MOST_LENIENCES:
            self.lenient_until = now + lease / RENEWALS_PER_LEASE
            self.leniences += 1
        elif now >= self.lenient_until:
            self.leniences = 0
        self.swept_at = now
        return True


@dataclass(slots=True)
class HostReport:
    """What is known of a host."""

    slots: int
    worker: str | None = None
    types: set[str] = field(default_factory=set)
    seen_at: datetime | None = None
    problems: Mapping[str, str] = field(default_factory=dict)  # agent types it cannot run, and why

    def can_run(self, one: OpenJob, name: str) -> bool:
        """Whether this host, of that name, can run a job."""
        return one.host in (None, name) and one.agent_type in self.types
