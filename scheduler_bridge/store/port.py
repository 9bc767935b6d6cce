"""JobStore: the verbs that bridge, sweep and tasks need of the rows.

Two stores keep this promise, PostgreSQL and memory; one contract suite runs over both. Every verb is one transaction:
it has happened or it has not. Only `claim` starts a job, only under the epoch it gave may anything be written about it
afterwards, and a verb that finds the epoch moved on says so and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Job, Outcome, Work
from scheduler_bridge.plan.admission import Obstacle

MOST_LEASED = 100  # streams a call of lease_streams
NO_PROBLEMS: Mapping[str, str] = MappingProxyType({})
Line = tuple[Job, ...]  # jobs that one message carries, each needing only the one before


@dataclass(frozen=True, slots=True)
class StreamRows:
    """What the planner is given of one stream."""

    stream: int
    jobs: tuple[Job, ...]  # not yet planned
    elsewhere: Mapping[int, frozenset[int]]  # every other open job they reach, with its needs


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """What the planner found out about one stream, to be stored."""

    planned: Sequence[int]
    followers: Mapping[int, int]  # next job of a linear run
    heads: Sequence[int]  # first jobs of the lines to publish
    links: Sequence[int] = ()  # the jobs behind the heads
    faults: Mapping[int, str] = field(default_factory=dict)  # job -> why it can never start


@dataclass(frozen=True, slots=True)
class Held:
    """A running attempt, for renewal."""

    job: int
    epoch: int
    items: int


@dataclass(frozen=True, slots=True)
class Orders:
    """What people want of a running job, told with each renewal."""

    paused: bool
    priority: int  # of its stream
    verbosity: int | None  # None: nothing was ordered


@dataclass(frozen=True, slots=True)
class Reported:
    """What a host is told when it reports."""

    freed: bool = False  # jobs have become startable that had no host
    draining: bool = False  # it is to start nothing more and to leave
    seconds_left: float | None = None  # until what runs is returned; None: whenever it ends
    reloads: int = 0  # how often the configuration was to be read again


@dataclass(frozen=True, slots=True)
class Startable:
    """What the end of an attempt made possible."""

    freed: list[Line]  # what waited for that very end
    refill: list[Line]  # more of its stream, where the window has become half empty


class JobStore(Protocol):
    """Rows of `jobqueue` and what the bridge remembers about them."""

    def publish_configuration(
        self, types: Iterable[AgentType], hosts: Iterable[Host], problems: Mapping[str, str] = NO_PROBLEMS
    ) -> None:
        """Make known which agent types and hosts are configured, with their limits.

        `problems`: agent types whose configuration cannot be used, and why; their jobs wait.
        """

    def register_host(
        self, host: Host, worker: str, types: Iterable[str], problems: Mapping[str, str] = NO_PROBLEMS
    ) -> Reported:
        """Report that `worker` runs `types` on `host` now; a report counts for 30 seconds.

        `problems`: agent types that it has but cannot run, and why.
        """

    def retire_host(self, host: str, worker: str) -> None:
        """Report that `worker` runs nothing on `host` any more."""

    def observe(self) -> int:
        """Take in rows inserted since the last call; how many."""

    def lease_streams(self, owner: str, only: Sequence[int] | None = None) -> list[int]:
        """Streams with rows that no planner has seen, now leased to `owner`; at most MOST_LEASED."""

    def stream_rows(self, stream: int) -> StreamRows:
        """The rows of a leased stream."""

    def record_plan(self, stream: int, owner: str, record: PlanRecord) -> set[int]:
        """Store a plan, fail its faulty jobs, give the lease back; the heads that the caller is to publish."""

    def top_up(self, streams: Sequence[int] | None = None) -> list[Line]:
        """Mark startable jobs as proposed, up to each stream's window; the lines to publish. None: all streams."""

    def unpropose(self, jobs: Sequence[int]) -> None:
        """Let jobs wait again: their hints could not be published."""

    def claim(self, job: int, worker: str, host: str) -> Work | Obstacle:
        """Lease the job to `worker`, or why not; a refusal is recorded, and asked again once."""

    def started(self, work: Work, pid: int) -> bool:
        """Record the agent's first OK; False when the job may not start any more."""

    def renew(self, worker: str, attempts: Sequence[Held]) -> dict[int, Orders]:
        """Extend leases and store counts; the jobs still held, and what is ordered for them.

        Any other must be stopped by its worker.
        """

    def killed(self, attempts: Sequence[Held]) -> dict[int, str]:
        """Those of these that are still running although people have ended their rows as failed, with the text."""

    def keep_output(self, tails: Mapping[tuple[int, int], bytes]) -> None:
        """Keep what the agents of (job, epoch) have printed so far."""

    def keep_log_paths(self, paths: Mapping[tuple[int, int], str]) -> None:
        """Tell where the logs of running attempts are, by job and epoch."""

    def finish(
        self, work: Work, outcome: Outcome, tail: bytes = b"", obstacle: Obstacle | None = None
    ) -> bool:
        """Write how the attempt ended; False when the lease has moved on, and nothing was written.

        With an obstacle, a returned job is not proposed again before the sweep finds it startable.
        """

    def startable(self, work: Work, following: int | None = None) -> Startable:
        """After `finish`: what became startable, marked as proposed, less `following`, which Celery sends itself."""

    def owners_on(self, host: str) -> list[str]:
        """The workers that hold attempts on a host."""

    def reclaim(self, dead: Sequence[str] = ()) -> list[int]:
        """Free jobs whose lease has expired; with `dead` those of these workers, and no others. The jobs."""

    def sweep_turn(self, turn_seconds: float, interval_seconds: float) -> bool:
        """Take the turn for a sweep; False when one ran less than half a turn ago.

        When none has run for half a lease and for three intervals, the store was away: then no lease is taken back for
        its time alone until each worker has had time to renew.
        """

    def sweep(self, hint_seconds: float, every_seconds: float | None = None) -> list[int]:
        """One pass over what no event told; the jobs taken back from dead workers.

        A pass may look at a part of the rows; so many seconds pass between two of them (None: `hint_seconds`).
        """
