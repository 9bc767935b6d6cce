"""MemoryStore: the verbs of the port over dicts, one at a time, for tests and dry runs.

Whether a job may start is asked of `plan.admission`. What PostgreSQL does in slices for the sake of speed is
done at once here; nothing else differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Job, Outcome, Work
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind
from scheduler_bridge.store.memory_claim import claim
from scheduler_bridge.store.memory_hints import (
    release_hosted,
    top_up,
    window_size,
    withdraw_lost_hints,
    worth_a_hint,
)
from scheduler_bridge.store.memory_queue import MemoryQueue
from scheduler_bridge.store.memory_records import Attempt, HostReport, OpenJob
from scheduler_bridge.store.memory_state import MemoryState
from scheduler_bridge.store.memory_sweep import (
    SET_BACK,
    compare,
    conclude,
    end_backoffs,
    reclaim,
    was_set_back,
)
from scheduler_bridge.store.port import (
    NO_PROBLEMS,
    Held,
    Line,
    Orders,
    PlanRecord,
    Reported,
    Startable,
    StreamRows,
)

STREAM_LEASE = timedelta(seconds=4)
FULL_WINDOW = 200  # more hints of a stream than this never go out

P = ParamSpec("P")
R = TypeVar("R")


def _alone(verb: Callable[Concatenate[MemoryStore, P], R]) -> Callable[Concatenate[MemoryStore, P], R]:
    """One verb at a time: each is a transaction."""

    @wraps(verb)
    def under_lock(self: MemoryStore, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.queue.lock:
            return verb(self, *args, **kwargs)

    return under_lock


class MemoryStore:
    """Rows in memory. `queue` is what clients see, `attempts` the ledger, `tails` what agents print."""

    def __init__(self, now: Callable[[], datetime], *, lease_seconds: float = 30, window: int = 0) -> None:
        """`window` 0: twice the fleet's slots, 20 to 200. Nothing happens by itself as `now` goes on."""
        self.queue = MemoryQueue()
        self.tails: dict[tuple[int, int], bytes] = {}
        self._state = MemoryState(self.queue, now)
        self._now = now
        self._lease = timedelta(seconds=lease_seconds)
        self._window = window

    @property
    def attempts(self) -> Mapping[tuple[int, int], Attempt]:
        """By job and epoch."""
        return self._state.attempts

    @_alone
    def publish_configuration(
        self, types: Iterable[AgentType], hosts: Iterable[Host], problems: Mapping[str, str] = NO_PROBLEMS
    ) -> None:
        self._state.types = {one.name: one for one in types}
        self._state.problems = problems
        named = {host.name: host for host in hosts}
        met = {name: report for name, report in self._state.hosts.items() if report.worker}
        self._state.hosts = {name: HostReport(host.slots) for name, host in named.items()} | met
        for one in self._state.open.values():
            if one.waits and one.obstacle in (ObstacleKind.TYPE_FULL.value, ObstacleKind.TYPE_OFF.value):
                one.obstacle = one.subject = None

    @_alone
    def register_host(
        self, host: Host, worker: str, types: Iterable[str], problems: Mapping[str, str] = NO_PROBLEMS
    ) -> Reported:
        found = set(types) if host.slots else set()
        self._state.hosts[host.name] = HostReport(host.slots, worker, found, self._now(), problems)
        return Reported(freed=release_hosted(self._state, host.name, found))

    @_alone
    def retire_host(self, host: str, worker: str) -> None:
        report = self._state.hosts.get(host)
        if report and report.worker == worker:
            report.seen_at = None

    @_alone
    def observe(self) -> int:
        return self._state.mirror()

    @_alone
    def lease_streams(self, owner: str, only: Sequence[int] | None = None) -> list[int]:
        leased = []
        for stream, lease in sorted(self._state.streams.items()):
            held = lease.until is not None and lease.until >= self._now() and lease.owner != owner
            unplanned = self._unplanned(stream)
            if unplanned and not held and (only is None or stream in only):
                lease.owner, lease.until = owner, self._now() + STREAM_LEASE
                self._state.settle(unplanned)
                leased.append(stream)
        return leased

    @_alone
    def stream_rows(self, stream: int) -> StreamRows:
        own = {job: self._state.open[job] for job in self._unplanned(stream)}
        elsewhere: dict[int, frozenset[int]] = {}
        reached = [need for one in own.values() for need in one.needs]
        while reached:
            job = reached.pop()
            if job in self.queue.rows and job not in own and job not in elsewhere:
                needs = self._state.open[job].needs if job in self._state.open else ()
                elsewhere[job] = frozenset(needs)
                reached.extend(needs)
        jobs = (
            Job(job, one.stream, one.agent_type, one.host, one.priority, frozenset(one.needs))
            for job, one in own.items()
        )
        return StreamRows(stream, tuple(jobs), elsewhere)

    @_alone
    def record_plan(self, stream: int, owner: str, record: PlanRecord) -> set[int]:
        lease = self._state.streams.get(stream)
        if lease is None or lease.owner != owner:
            return set()
        self._state.fail({job: (fault, fault) for job, fault in record.faults.items()})
        for job in record.planned:
            if job in self._state.open:
                self._state.open[job].planned = True
        for job, follower in record.followers.items():
            if job in self._state.open:
                self._state.open[job].follower = follower
        heads = {
            job
            for job in worth_a_hint(self._state, record.heads[: self._size()])
            if self._state.is_free(job) and self._state.open[job].startable
        }
        for job in heads:
            self._state.open[job].proposals += 1
            self._state.open[job].proposed_at = self._now()
        for _, one in self._unclaimed(record.links):
            if not one.ready:
                one.proposed_at = self._now()
        lease.owner = lease.until = None
        return heads

    @_alone
    def top_up(self, streams: Sequence[int] | None = None) -> list[Line]:
        chosen = list(self._state.streams) if streams is None else streams
        return [line for stream in chosen for line in top_up(self._state, stream, self._size(), FULL_WINDOW)]

    @_alone
    def unpropose(self, jobs: Sequence[int]) -> None:
        for _, one in self._unclaimed(jobs):
            one.proposed_at = None

    @_alone
    def claim(self, job: int, worker: str, host: str) -> Work | Obstacle:
        return claim(self._state, job, worker, host, self._lease)

    @_alone
    def started(self, work: Work, pid: int) -> bool:
        attempt, row = self._running(work.job, work.epoch), self.queue.rows.get(work.job)
        if attempt is None or row is None:
            return False
        if row.start is None and row.end is None:
            row.start, row.endtext, row.schedinfo = self._now(), "Started", f"localhost.{pid}"
            attempt.started_at, attempt.pid = self._now(), pid
        return attempt.pid == pid

    @_alone
    def renew(self, worker: str, attempts: Sequence[Held]) -> dict[int, Orders]:
        held = {}
        for one in attempts:
            attempt, row = self._running(one.job, one.epoch), self.queue.rows.get(one.job)
            if attempt is None or attempt.worker != worker:
                continue
            attempt.expires_at, attempt.items = self._now() + self._lease, one.items
            if row is not None and row.end is None and not was_set_back(attempt, row):
                priority = self.queue.streams[row.stream].priority
                held[one.job] = Orders(row.endtext == "Paused", priority, None)
                if attempt.started_at:
                    row.items = one.items
        return held

    @_alone
    def killed(self, attempts: Sequence[Held]) -> dict[int, str]:
        rows = {
            one.job: self.queue.rows.get(one.job) for one in attempts if self._running(one.job, one.epoch)
        }
        return {job: row.endtext or "" for job, row in rows.items() if row and row.end and row.failed}

    @_alone
    def keep_output(self, tails: Mapping[tuple[int, int], bytes]) -> None:
        self.tails.update(tails)

    @_alone
    def keep_log_paths(self, paths: Mapping[tuple[int, int], str]) -> None:
        for (job, epoch), path in paths.items():
            if self._running(job, epoch) and job in self.queue.rows:
                self.queue.rows[job].log = path

    @_alone
    def finish(
        self, work: Work, outcome: Outcome, tail: bytes = b"", obstacle: Obstacle | None = None
    ) -> bool:
        attempt = self._running(work.job, work.epoch)
        if attempt is None:
            known = self._state.attempts.get((work.job, work.epoch))
            return known is not None and (known.ending is outcome.ending or known.reason == SET_BACK)
        if tail:
            self.tails[work.job, work.epoch] = tail
        conclude(self._state, attempt, outcome, obstacle)
        return True

    @_alone
    def startable(self, work: Work, following: int | None = None) -> Startable:
        attempt, row = self._state.attempts[work.job, work.epoch], self.queue.rows.get(work.job)
        freed: list[int] = []
        if row and row.failed:
            self._state.fail_dependents(work.job)
        elif row and row.completed:
            freed = self._state.dependents(work.job)
            waiting = [job for job, one in self._unclaimed(freed) if not one.ready]
            self._state.settle(freed)
            for job, one in self._unclaimed(freed):
                if one.ready and job == following:
                    one.proposed_at = self._now()
                elif one.ready and job in waiting:
                    one.proposed_at = None  # whoever carried its hint is gone
        freed = self._state.release(attempt.agent_type, attempt.host) + sorted(freed)[: self._size()]
        lines = self._state.propose(worth_a_hint(self._state, freed))
        refill = top_up(self._state, attempt.stream, self._size(), self._size() // 2)
        return Startable(lines, refill)

    @_alone
    def owners_on(self, host: str) -> list[str]:
        return list({one.worker for one in self._state.running() if one.host == host and one.worker})

    @_alone
    def reclaim(self, dead: Sequence[str] = ()) -> list[int]:
        return reclaim(self._state, dead)

    @_alone
    def sweep_turn(self, turn_seconds: float, interval_seconds: float) -> bool:
        turn, interval = timedelta(seconds=turn_seconds), timedelta(seconds=interval_seconds)
        return self._state.turns.take(self._now(), turn=turn, interval=interval, lease=self._lease)

    @_alone
    def sweep(self, hint_seconds: float, every_seconds: float | None = None) -> list[int]:
        reclaimed = reclaim(self._state)
        self._state.mirror()
        compare(self._state)
        self._state.settle(list(self._state.open))
        end_backoffs(self._state)
        withdraw_lost_hints(self._state, hint_seconds)
        streams = {one.stream for one in self._state.open.values()}
        self._state.streams = {
            stream: lease
            for stream, lease in self._state.streams.items()
            if stream in streams or (lease.until is not None and lease.until >= self._now())
        }
        return reclaimed

    def _unplanned(self, stream: int) -> list[int]:
        return [job for job, one in self._state.open.items() if one.stream == stream and not one.planned]

    def _unclaimed(self, jobs: Iterable[int]) -> list[tuple[int, OpenJob]]:
        found = ((job, self._state.open[job]) for job in jobs if job in self._state.open)
        return [(job, one) for job, one in found if one.worker is None]

    def _running(self, job: int, epoch: int) -> Attempt | None:
        attempt = self._state.attempts.get((job, epoch))
        return attempt if attempt and attempt.ending is None else None

    def _size(self) -> int:
        return self._window or window_size(self._state)
