"""The read side: rows as frozen values for `status`, `why`, `logs` and `run`; nothing here writes.

A database may hold millions of ended rows and FOSSology's own `jobqueue` has no index but its primary key, so
what is read is bounded: the list of streams counts ended rows among the newest only (and says where that may
be too few), a followed stream is read once in full and then by number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from scheduler_bridge.model.jobs import Ending, JobState
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind
from scheduler_bridge.store.queries import read_queries
from scheduler_bridge.store.read_model import (
    Attempt,
    Chain,
    JobReading,
    StreamList,
    StreamReading,
    StreamSummary,
)

QUERIES = read_queries(Path(__file__).with_name("reading.sql"))
ENDED_STREAMS = 20  # in the list of streams, behind the open ones
COUNTED_ROWS = 100_000  # newest rows looked at where jobqueue has no index on jq_job_fk: some 30 ms
LIVE_OBSTACLES = 500  # jobs of one stream whose obstacle is asked for anew: some 0.2 ms each
LONGEST_CHAIN = 20  # prerequisites followed to the root of a delay
FAILED_BITS = 2  # jq_end_bits from here on: the row has failed


class Reading:
    """Reads over one connection in autocommit mode; not to be shared between threads."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def now(self) -> datetime:
        """The database's clock."""
        moment: datetime = self._row("now")[0]
        return moment

    def missing_tables(self) -> list[str]:
        """Tables of the queue that the database lacks."""
        return self._column("missing_tables")

    def streams(self, ended: int = ENDED_STREAMS) -> StreamList:
        """Open streams, and the last `ended` of those that have ended."""
        read_at, settled, _, low, newest_below = self._row("horizon", most=COUNTED_ROWS)
        found = self._column("open_streams", new=max(settled, low))
        open_streams = set(found)
        latest = self._column("latest_streams", newest=ended + len(found), ended=ended + len(found))
        rows = self._rows("summaries", streams=[*open_streams, *(set(latest) - open_streams)], low=low)
        summaries = [_summary(row, newest_below if low else 0) for row in rows]
        last = sorted((s for s in summaries if s.ended_at and not s.open), key=_ended_at, reverse=True)
        return StreamList(read_at, (*(s for s in summaries if s.open), *last[:ended]))

    def stream(self, stream: int, before: StreamReading | None = None) -> StreamReading | None:
        """A stream with its jobs; None where there is none.

        `before`: an earlier reading of it; then only new rows and those that had not ended are read.
        """
        row = self._first("stream", stream=stream)
        if row is None:
            return None
        ended = [job for job in before.jobs if job.ended] if before else []
        still_open = [job.job for job in before.jobs if not job.ended] if before else []
        above = before.jobs[-1].job if before and before.jobs else 0
        fresh = self._jobs(still_open, stream, above)
        jobs = tuple(sorted([*ended, *self._with_obstacles(stream, fresh)], key=lambda job: job.job))
        return StreamReading(row[0], _counted(stream, row, jobs), jobs)

    def job(self, job: int) -> JobReading | None:
        """One job with its obstacle; None where there is none."""
        found = next(iter(self._jobs([job])), None)
        if found is None or found.ended or found.running or not found.seen:
            return found
        return replace(found, obstacle=_obstacle(*self._row("obstacle", job=job)))

    def chain(self, job: int) -> Chain | None:
        """A job and what holds it up, over at most LONGEST_CHAIN prerequisites; None where there is none."""
        read_at, _, swept_at, *_ = self._row("horizon", most=COUNTED_ROWS)
        jobs: list[JobReading] = []
        wanted: int | None = job
        while wanted and len(jobs) <= LONGEST_CHAIN and wanted not in {known.job for known in jobs}:
            found = self.job(wanted)
            if found is None:
                return Chain(read_at, swept_at, tuple(jobs), wanted) if jobs else None
            jobs.append(found)
            wanted = None if found.running else self._blocker(found)
        return Chain(read_at, swept_at, tuple(jobs), None)

    def attempts(self, job: int) -> list[Attempt]:
        """The ledger of one job, the first attempt first."""
        return [_attempt(row) for row in self._rows("attempts", job=job)]

    def output(self, job: int, epoch: int, after: datetime | None = None) -> tuple[bytes, datetime] | None:
        """The last 256 KiB that an attempt has printed, and when written; None: nothing since `after`."""
        row = self._first("output", job=job, epoch=epoch, after=after or "-infinity")
        return (row[0], row[1]) if row else None

    def report(self, stream: int) -> str | None:
        """The report of a stream as Markdown, once its agent has written one."""
        row = self._first("report", stream=stream)
        return row[0] if row else None

    def files_to_scan(self, stream: int) -> int:
        """Files with content that unpack has found in a stream."""
        return int(self._row("scan_files", stream=stream)[0])

    def old_scans(self, days: int) -> list[int]:
        """Streams that have ended and whose agents finished more than `days` days ago."""
        return self._column("old_scans", days=days)

    def _jobs(self, jobs: Sequence[int], stream: int | None = None, above: int = 0) -> list[JobReading]:
        rows = self._rows("jobs", jobs=list(jobs), stream=stream, above=above)
        return [_job(row) for row in rows]

    def _with_obstacles(self, stream: int, jobs: Sequence[JobReading]) -> list[JobReading]:
        if all(job.ended or job.running for job in jobs):
            return list(jobs)
        rows = self._rows("obstacles", stream=stream, live=LIVE_OBSTACLES)
        found = {job: _obstacle(kind, subject) for job, kind, subject in rows}
        waiting = (JobState.WAITING, JobState.PROPOSED)
        return [
            replace(job, obstacle=found.get(job.job)) if job.state in waiting and job.seen else job
            for job in jobs
        ]

    def _blocker(self, job: JobReading) -> int | None:
        if job.state is Ending.COMPLETED:
            return None
        row = self._first("blocker", job=job.job)
        return row[0] if row else None

    def _row(self, query: str, **values: Any) -> Any:
        return self._rows(query, **values)[0]

    def _first(self, query: str, **values: Any) -> Any:
        return next(iter(self._rows(query, **values)), None)

    def _column(self, query: str, **values: Any) -> list[Any]:
        return [row[0] for row in self._rows(query, **values)]

    def _rows(self, query: str, **values: Any) -> list[Any]:
        # Never prepared: the bounds are what a plan must be made for.
        return self._connection.execute(QUERIES[query], values, prepare=False).fetchall()


def _summary(row: Any, newest_below: int) -> StreamSummary:
    stream, name, priority, queued_at, completed, failed, running, waiting, ended_at = row
    return StreamSummary(
        stream=stream,
        name=name or "",
        priority=priority,
        queued_at=queued_at,
        completed=completed,
        failed=failed,
        running=running,
        waiting=waiting,
        ended_at=ended_at,
        partial=stream <= newest_below,
    )


def _ended_at(summary: StreamSummary) -> datetime:
    assert summary.ended_at is not None
    return summary.ended_at


def _counted(stream: int, row: Any, jobs: Sequence[JobReading]) -> StreamSummary:
    _, name, priority, queued_at = row
    completed = sum(job.state is Ending.COMPLETED for job in jobs)
    failed = sum(job.state is Ending.FAILED for job in jobs)
    running = sum(job.running for job in jobs)
    still_open = len(jobs) - completed - failed
    ended_at = max((job.ended_at for job in jobs if job.ended_at), default=None)
    return StreamSummary(
        stream=stream,
        name=name or "",
        priority=priority,
        queued_at=queued_at,
        completed=completed,
        failed=failed,
        running=running,
        waiting=still_open - running,
        ended_at=None if still_open else ended_at,
    )


def _attempt(row: Any) -> Attempt:
    epoch, worker, host, claimed_at, started_at, ended_at, ending, reason, items = row
    ended = Ending(ending) if ending else None
    return Attempt(epoch, worker, host, claimed_at, started_at, ended_at, ended, reason, items)


def _job(row: Any) -> JobReading:
    job, stream, agent_type, items, begun, ended_at, text, bits, wanted_host, ignored, *rest = row
    seen, worker, proposed_at, kind, subject, refused_at, epoch, host, claimed_at, ready_at, reason = rest
    ended = ended_at is not None or bits >= FAILED_BITS
    return JobReading(
        job=job,
        stream=stream,
        agent_type=agent_type,
        state=_ending(bits) if ended else _state(worker, ready_at if worker else begun, proposed_at),
        items=items,
        started_at=begun,
        ended_at=ended_at,
        text=text,
        wanted_host=wanted_host,
        ignored=ignored,
        seen=seen or ended,
        worker=worker,
        proposed_at=proposed_at,
        refused=_obstacle(kind, subject),
        refused_at=refused_at,
        epoch=epoch,
        host=host,
        claimed_at=claimed_at,
        reason=reason,
    )


def _ending(bits: int) -> Ending:
    return Ending.FAILED if bits >= FAILED_BITS else Ending.COMPLETED


def _state(worker: str | None, started_at: datetime | None, proposed_at: datetime | None) -> JobState:
    """Of a job that has not ended; without a worker, a start is another scheduler's."""
    if started_at is not None:
        return JobState.STARTED
    if worker is not None:
        return JobState.CLAIMED
    return JobState.PROPOSED if proposed_at is not None else JobState.WAITING


def _obstacle(kind: str | None, subject: str) -> Obstacle | None:
    return Obstacle(ObstacleKind(kind), subject) if kind else None
