"""The bridge: rows become plans, plans become fragments, fragments go out.

Any number of bridges may run. Each stream is leased to one while it is planned; what a plan proposes is marked in its
row before it is published, so that nobody publishes it again. A bridge that dies in between leaves marked rows behind,
and the sweep proposes them again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from scheduler_bridge.model.jobs import Job
from scheduler_bridge.plan.faults import Cycle, Fault
from scheduler_bridge.plan.fragments import followers, front
from scheduler_bridge.plan.planner import outline
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.store.port import MOST_LEASED, JobStore, Line, PlanRecord, StreamRows

log = logging.getLogger(__name__)

LARGEST_WINDOW = 200  # lines of one plan; how many of them may be outstanding is the store's to say


class Bridge:
    """One bridge; `owner` names it in the rows."""

    def __init__(self, store: JobStore, proposals: Proposals, *, owner: str) -> None:
        self._store = store
        self._proposals = proposals
        self._owner = owner

    def tick(self) -> None:
        """One pass from rows to messages: everything that is new, nothing else."""
        self._store.observe()
        while True:
            streams = self._store.lease_streams(self._owner)
            for stream in streams:
                self.propose(stream)
            if len(streams) < MOST_LEASED:
                return

    def propose(self, stream: int) -> None:
        """Plan a leased stream and publish what can start."""
        rows = self._store.stream_rows(stream)
        record, lines = decide(rows)
        ours = self._store.record_plan(stream, self._owner, record)
        self._proposals.publish([line for line in lines if line[0].job in ours])

    def look_again(self, stream: int) -> None:
        """Read the rows of one stream anew and propose what follows."""
        for leased in self._store.lease_streams(self._owner, [stream]):
            self.propose(leased)
        self._proposals.top_up([stream])


def decide(rows: StreamRows) -> tuple[PlanRecord, list[Line]]:
    """What the planner makes of a stream: the record to store and the lines to publish once it is stored."""
    planned = outline(rows.jobs, rows.elsewhere)
    for fault in planned.faults:
        log.error(
            "stream %d: %s",
            rows.stream,
            fault.message,
            extra={"action": "stream_faulty", "stream": rows.stream},
        )
    faults = {job: fault.message for fault in planned.faults for job in _jobs_of(fault)}
    lines = front(planned.plan, rows.jobs, window=LARGEST_WINDOW)
    record = PlanRecord(
        planned=[job.job for job in rows.jobs],
        followers=followers(rows.jobs),
        heads=[line[0] for line in lines],
        links=[job for line in lines for job in line[1:]],
        faults=faults,
    )
    return record, _with_jobs(lines, rows.jobs)


def _jobs_of(fault: Fault) -> tuple[int, ...]:
    return fault.jobs if isinstance(fault, Cycle) else (fault.job,)


def _with_jobs(lines: Sequence[tuple[int, ...]], jobs: Sequence[Job]) -> list[Line]:
    named = {job for line in lines for job in line}
    by_number = {job.job: job for job in jobs if job.job in named}
    return [tuple(by_number[job] for job in line) for line in lines]
