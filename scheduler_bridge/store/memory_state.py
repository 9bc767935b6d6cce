"""What MemoryStore remembers of the queue, and the steps of which its verbs are made.

The steps bear the names of the functions in migrations/ and mean the same. Their caller holds the lock.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from scheduler_bridge.model.agents import AgentType, Special
from scheduler_bridge.model.jobs import Ending, Job
from scheduler_bridge.plan.admission import LOCAL_HOST, Facts
from scheduler_bridge.plan.fragments import LONGEST_LINE
from scheduler_bridge.store.memory_queue import FAILED_BITS, MemoryQueue, Row
from scheduler_bridge.store.memory_records import (
    EXCLUSIVE_NEXT,
    REPORT_COUNTS_FOR,
    Attempt,
    HostReport,
    OpenJob,
    StreamLease,
    Turns,
)
from scheduler_bridge.store.port import Line
from scheduler_bridge.store.telling import tell_of_unknown

DEPENDENCY_FAILED = "dependency failed"  # of the row


class MemoryState:
    """The mirror of open rows, the ledger, the configuration."""

    def __init__(self, queue: MemoryQueue, now: Callable[[], datetime]) -> None:
        self.queue = queue
        self.now = now
        self.open: dict[int, OpenJob] = {}
        self.streams: dict[int, StreamLease] = {}
        self.turns = Turns()
        self.attempts: dict[tuple[int, int], Attempt] = {}
        self.epochs: dict[int, int] = {}  # job -> number of its last attempt
        self.types: dict[str, AgentType] = {}
        self.problems: Mapping[str, str] = {}  # agent type -> what is wrong with its configuration
        self.hosts: dict[str, HostReport] = {}

    def mirror(self) -> int:
        """Take in open rows; how many are new."""
        before = len(self.open)
        for job, row in sorted(self.queue.rows.items()):
            foreign = row.start is not None and not row.paused
            if job in self.open or row.over or foreign or row.agent_type == "command":
                continue
            host = self.wanted_host(row)
            priority = self.queue.streams[row.stream].priority
            self.open[job] = OpenJob(row.stream, row.agent_type, host, priority, self.unmet(row))
            self.open[job].before = self.epochs.get(job, 0)
            self.streams.setdefault(row.stream, StreamLease())
        return len(self.open) - before

    def wanted_host(self, row: Row) -> str | None:
        """The only host that a row may run on; None: any."""
        return LOCAL_HOST if self._has(row.agent_type, Special.LOCAL) else row.host or None

    def unmet(self, row: Row) -> set[int]:
        """The prerequisites that have not completed."""
        rows = self.queue.rows
        return {need or 0 for need in row.needs if need not in rows or not rows[need].completed}

    def settle(self, jobs: Iterable[int]) -> None:
        """Fail what can never start, make ready what waits for nothing."""
        unclaimed = [job for job in jobs if self.is_free(job)]
        verdicts = {job: why for job in unclaimed if (why := self._verdict(self.open[job]))}
        self.fail(verdicts)
        tell_of_unknown(
            {job: reason for job, (text, reason) in verdicts.items() if text != DEPENDENCY_FAILED}
        )
        for job in unclaimed:
            row, found = self.queue.rows.get(job), self.open.get(job)
            if row and found:
                found.needs &= self.unmet(row)
                if not found.ready and not found.needs:
                    found.ready, found.obstacle, found.subject = True, None, None

    def is_free(self, job: int) -> bool:
        """Whether it is open and nobody has claimed it."""
        return job in self.open and self.open[job].worker is None

    def fail(self, verdicts: Mapping[int, tuple[str, str]]) -> None:
        """End jobs as failed, by text of the row and reason, and what depends on them."""
        doomed = {job: why for job, why in verdicts.items() if self.is_free(job)}
        reached = list(doomed)
        while reached:
            cause = reached.pop()
            for job in self.dependents(cause):
                if job not in doomed and self.is_free(job):
                    doomed[job] = DEPENDENCY_FAILED, f"prerequisite {cause} failed"
                    reached.append(job)
        for job, (endtext, reason) in doomed.items():
            self._end_as_failed(job, endtext, reason)

    def fail_dependents(self, job: int) -> None:
        """Fail what depends on a failed job, at any depth."""
        why = DEPENDENCY_FAILED, f"prerequisite {job} failed"
        self.fail(dict.fromkeys(self.dependents(job), why))

    def dependents(self, job: int) -> list[int]:
        """The open jobs that need this one."""
        return [number for number, found in self.open.items() if job in found.needs]

    def propose(self, jobs: Iterable[int]) -> list[Line]:
        """Mark startable jobs as proposed; each with the linear run behind it."""
        found = {job: self.open[job] for job in jobs if job in self.open}
        heads = [job for job, one in found.items() if one.waits and one.proposed_at is None]
        for head in heads:
            found[head].proposals += 1
            found[head].gave_way = False
        return [self._line(head) for head in sorted(heads, key=lambda job: (-found[job].priority, job))]

    def startable(self, stream: int) -> list[int]:
        """The jobs of a stream that wait for a hint, urgent and old ones first."""
        return [job for job, found in self._by_urgency() if found.stream == stream and found.startable]

    def release(self, agent_type: str, host: str | None) -> list[int]:
        """Free what waited for a limit that an ended attempt drew on."""
        parked = [(job, one) for job, one in self._by_urgency() if one.waits and one.obstacle]
        of_type = [job for job, one in parked if (one.obstacle, one.subject) == ("type_full", agent_type)]
        of_host = [job for job, one in parked if one.obstacle == "host_full" and one.host in (None, host)]
        alone = [job for job, one in parked if one.obstacle == "exclusive_waits"]
        others = [job for job, one in parked if one.obstacle == "exclusive_runs"]
        freed: dict[int, str | None] = dict.fromkeys(of_type[:1] + of_host[:1])
        if not self._others_first() and not any(self._runs_alone(attempt) for attempt in self.running()):
            freed |= dict.fromkeys(others[:200])
        next_alone = {} if self.running() else dict.fromkeys(alone[:1], EXCLUSIVE_NEXT)
        for job, obstacle in {**freed, **next_alone}.items():
            one = self.open[job]
            one.obstacle, one.subject, one.refused_at, one.proposed_at = obstacle, None, self.now(), None
        return [*freed, *next_alone]

    def running(self) -> list[Attempt]:
        """The attempts that have not ended."""
        return [attempt for attempt in self.attempts.values() if attempt.ending is None]

    def live_hosts(self) -> dict[str, HostReport]:
        """The hosts that have reported lately."""
        since = self.now() - REPORT_COUNTS_FOR
        return {name: host for name, host in self.hosts.items() if host.seen_at and host.seen_at > since}

    def has_taker(self, one: OpenJob) -> bool:
        """Whether a live host can run a job."""
        return any(host.can_run(one, name) for name, host in self.live_hosts().items())

    def facts(self, job: int, host: str | None) -> Facts:
        """What admission asks about a job; host None: about any host."""
        found, row = self.open.get(job), self.queue.rows.get(job)
        if found is None or row is None or row.over:
            return Facts(agent_type="", host="", host_slots=0, ended=True)
        configured = self.types.get(found.agent_type)
        here = host or found.host or ""
        running = self.running()
        exclusive = self._has(found.agent_type, Special.EXCLUSIVE)
        broken = {
            need or 0 for need in row.needs if need not in self.queue.rows or self.queue.rows[need].failed
        }
        return Facts(
            agent_type=found.agent_type,
            host=LOCAL_HOST if host is None and self._has(found.agent_type, Special.LOCAL) else here,
            host_slots=self.hosts[host].slots if host in self.hosts else sys.maxsize,
            host_running=sum(attempt.host == host for attempt in running),
            orphan=row.stream not in self.queue.streams,
            taken=found.worker is not None or (row.start is not None and not row.paused),
            paused=row.paused,
            doomed=tuple(broken),
            needs=tuple(self.unmet(row)),
            backoff=str(found.not_before) if found.not_before and found.not_before > self.now() else "",
            type_known=found.agent_type in self.types or found.agent_type in self.problems,
            type_running=sum(attempt.agent_type == found.agent_type for attempt in running),
            type_maximum=configured.maximum if configured else None,
            exclusive=exclusive,
            exclusive_running=any(map(self._runs_alone, running)) or (not exclusive and self._others_first()),
            others_running=len(running),
            wanted_host=found.host,
            is_local=self._has(found.agent_type, Special.LOCAL),
        )

    def _others_first(self) -> bool:
        """Whether an exclusive job waits that goes before all others, and could start otherwise."""
        return any(
            one.goes_first(self.now()) and self.has_taker(one) and self.queue.rows[job].waits
            for job, one in self.open.items()
            if job in self.queue.rows
        )

    def _has(self, agent_type: str, special: Special) -> bool:
        return agent_type in self.types and special in self.types[agent_type].special

    def _runs_alone(self, attempt: Attempt) -> bool:
        return self._has(attempt.agent_type, Special.EXCLUSIVE)

    def _by_urgency(self) -> Iterator[tuple[int, OpenJob]]:
        return iter(sorted(self.open.items(), key=lambda item: (-item[1].priority, item[0])))

    def _line(self, head: int) -> Line:
        line: list[Job] = []
        number = head
        while number in self.open and len(line) < LONGEST_LINE:
            found = self.open[number]
            if found.worker is not None:
                break
            found.proposed_at = self.now()
            line.append(Job(number, found.stream, found.agent_type, found.host))
            number = found.follower or 0
        return tuple(line)

    def _verdict(self, found: OpenJob) -> tuple[str, str] | None:
        """Why it can never start: text and reason. Before a configuration is known nothing is unknown."""
        rows = self.queue.rows
        failed = sorted(need for need in found.needs if need in rows and rows[need].failed)
        if failed:
            return DEPENDENCY_FAILED, f"prerequisite {failed[0]} failed"
        known = self.types.keys() | self.problems.keys()
        if known and found.agent_type not in known:
            return "Failed", f"agent type {found.agent_type} is not configured"
        local = self._has(found.agent_type, Special.LOCAL)
        if known and found.host and found.host not in self.hosts and not local:
            return "ERROR: jq_host not in the agent list!", f"host {found.host} is not known"
        return None

    def _end_as_failed(self, job: int, endtext: str, reason: str) -> None:
        found, row = self.open.pop(job), self.queue.rows.get(job)
        if row and row.end is None:
            row.end, row.endtext, row.schedinfo = self.now(), endtext, None
            row.bits |= FAILED_BITS
        epoch = self.epochs[job] = self.epochs.get(job, 0) + 1
        self.attempts[job, epoch] = Attempt(
            job, epoch, found.stream, found.agent_type, ending=Ending.FAILED, reason=reason
        )
