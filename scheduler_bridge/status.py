"""The read model as text and as JSON; pure, so that every sentence can be tested without a database.

The reason of a job that does not run is always `explain` of the obstacle that dispatch itself would meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from scheduler_bridge.model.jobs import Ending, JobState
from scheduler_bridge.plan.admission import Obstacle, explain
from scheduler_bridge.store.read_model import (
    Attempt,
    Chain,
    JobReading,
    StreamList,
    StreamReading,
    StreamSummary,
)
from scheduler_bridge.text import Table, clean, span

MOST_JOBS = 500  # in a table for people; JSON has all
NAME_WIDTH = 60
SWEEP_LATE_SECONDS = 120.0
NOT_SEEN = "no bridge has seen it yet"


def streams_table(found: StreamList) -> Table:
    """One line a stream."""
    headings = ("STREAM", "NAME", "DONE", "FAILED", "RUNNING", "WAITING", "SINCE")
    rows = tuple(
        (
            str(s.stream),
            _name(s),
            f"{s.completed}{'+' if s.partial else ''}",
            f"{s.failed}{'+' if s.partial else ''}",
            str(s.running),
            str(s.waiting),
            _since(s, found.read_at),
        )
        for s in found.streams
    )
    return Table(headings, rows, frozenset({0, 2, 3, 4, 5}))


def headline(stream: StreamReading) -> str:
    """A stream in one line."""
    s = stream.summary
    counts = f"{s.completed} done, {s.failed} failed, {s.running} running, {s.waiting} waiting"
    return f"stream {s.stream} ({_name(s)}): {counts}, {_since(s, stream.read_at)}"


def jobs_table(stream: StreamReading, most: int = MOST_JOBS) -> Table:
    """One line a job; of more than `most`, those that run or have failed are shown before others."""
    headings = ("JOB", "AGENT", "STATE", "ITEMS", "TIME", "HOST", "REASON")
    rows = tuple(_job_row(job, stream.read_at) for job in _chosen(stream.jobs, most))
    return Table(headings, rows, frozenset({0, 3, 4}))


def left_out(stream: StreamReading, most: int = MOST_JOBS) -> str:
    """A line about the jobs that the table does not show; empty where it shows all."""
    count = len(stream.jobs) - most
    return f"... and {count} more jobs; --json lists all" if count > 0 else ""


def changes(before: StreamReading | None, now: StreamReading) -> list[str]:
    """A line for each job that is new or has another state than before."""
    known = {job.job: job.state for job in before.jobs} if before else {}
    return [_sentence(job, now.read_at) for job in now.jobs if known.get(job.job) is not job.state]


def reason(job: JobReading) -> str:
    """Why a job does not run, or why it has failed; empty for one that runs or has completed."""
    if job.state is Ending.COMPLETED:
        return ""
    if job.state is Ending.FAILED:
        return clean(job.reason or job.text)
    if job.running:
        return "" if job.worker else "another scheduler runs it"
    return _why_waiting(job)


def chain_lines(chain: Chain) -> list[str]:
    """What `why` answers: the job and what holds it up, each on a line, then what else is to know."""
    lines = [_sentence(job, chain.read_at) for job in chain.jobs]
    if chain.missing is not None:
        lines.append(f"job {chain.missing} does not exist")
    first, last = chain.jobs[0], chain.jobs[-1]
    if not first.ended and not first.running and first.seen:
        lines.append(_hint(first, chain.read_at))
    if not last.ended and not last.running:
        lines += _late_sweep(chain)
    return lines


def attempts_table(attempts: Sequence[Attempt], read_at: datetime) -> Table:
    """The ledger of one job."""
    headings = ("ATTEMPT", "ENDING", "ITEMS", "TIME", "HOST", "WORKER", "REASON")
    rows = tuple(
        (
            str(a.epoch),
            a.ending.value if a.ending else "running",
            str(a.items),
            span(((a.ended_at or read_at) - a.claimed_at).total_seconds()),
            clean(a.host or "-"),
            clean(a.worker or "-"),
            clean(a.reason),
        )
        for a in attempts
    )
    return Table(headings, rows, frozenset({0, 2, 3}))


def streams_json(found: StreamList) -> dict[str, Any]:
    """The list of streams as documented in docs/cli.md."""
    return {"read_at": _moment(found.read_at), "streams": [_stream_json(s) for s in found.streams]}


def stream_json(stream: StreamReading) -> dict[str, Any]:
    """A stream with its jobs as documented in docs/cli.md."""
    return {
        "read_at": _moment(stream.read_at),
        "stream": _stream_json(stream.summary),
        "jobs": [_job_json(job, stream.read_at) for job in stream.jobs],
    }


def run_seconds(job: JobReading, read_at: datetime) -> float | None:
    """How long the agent has run; None before its first OK."""
    if job.started_at is None:
        return None
    return max(0.0, ((job.ended_at or read_at) - job.started_at).total_seconds())


def _chosen(jobs: Sequence[JobReading], most: int) -> Sequence[JobReading]:
    if len(jobs) <= most:
        return jobs
    ranked = sorted(jobs, key=_dullness)
    return sorted(ranked[:most], key=lambda job: job.job)


def _dullness(job: JobReading) -> tuple[bool, bool, bool, int]:
    return not job.running, job.state is not Ending.FAILED, job.ended, job.job


def _job_row(job: JobReading, read_at: datetime) -> tuple[str, ...]:
    seconds = run_seconds(job, read_at)
    return (
        str(job.job),
        clean(job.agent_type),
        job.state.value,
        str(job.items),
        span(seconds) if seconds is not None else "-",
        clean((job.host if job.running or job.ended else job.wanted_host) or "-"),
        reason(job),
    )


def _why_waiting(job: JobReading) -> str:
    if job.ignored:
        return "an order to schedulers of old: nothing runs it"
    if not job.seen:
        return NOT_SEEN
    if job.obstacle:
        return clean(explain(job.obstacle))
    if job.refused:
        return f"refused last: {clean(explain(job.refused))}"
    return "a hint for it is out" if job.proposed_at else "it may start"


def _sentence(job: JobReading, read_at: datetime) -> str:
    start = f"job {job.job} ({clean(job.agent_type)}, stream {job.stream})"
    match job.state:
        case Ending.COMPLETED:
            return f"{start} has completed{_ago(job.ended_at, read_at)}"
        case Ending.FAILED:
            return f"{start} failed{_ago(job.ended_at, read_at)}: {_failure(job)}"
        case JobState.STARTED | JobState.CLAIMED if job.running:
            return f"{start} {_running(job, read_at)}"
        case _:
            return f"{start} does not run: {_why_waiting(job)}"


def _failure(job: JobReading) -> str:
    text, why = clean(job.text), clean(job.reason)
    return why if text == "Failed" and why else f"{text} ({why})" if why else text


def _running(job: JobReading, read_at: datetime) -> str:
    if not job.worker:
        return "is run by another scheduler"
    place = f"on host {clean(job.host or '?')}, attempt {job.epoch}"
    if job.state is JobState.CLAIMED:
        return f"is being started {place}, claimed{_ago(job.claimed_at, read_at)}"
    paused = " but is paused" if job.text == "Paused" else ""
    return f"runs {place}, for {span(run_seconds(job, read_at) or 0)}, {job.items} items{paused}"


def _hint(job: JobReading, read_at: datetime) -> str:
    if job.proposed_at:
        line = f"a hint for job {job.job} is out since {span((read_at - job.proposed_at).total_seconds())}"
    else:
        line = f"no hint for job {job.job} is out"
    if job.refused and job.refused_at:
        line += f"; it was refused{_ago(job.refused_at, read_at)}: {clean(explain(job.refused))}"
    return line


def _late_sweep(chain: Chain) -> list[str]:
    if chain.swept_at is None:
        return ["no sweep has run yet: is a bridge running?"]
    late = (chain.read_at - chain.swept_at).total_seconds()
    return [f"no sweep has run for {span(late)}: is a bridge running?"] if late > SWEEP_LATE_SECONDS else []


def _ago(moment: datetime | None, read_at: datetime) -> str:
    return f" {span((read_at - moment).total_seconds())} ago" if moment else ""


def _name(summary: StreamSummary) -> str:
    return clean(summary.name, NAME_WIDTH) or "-"


def _since(summary: StreamSummary, read_at: datetime) -> str:
    if summary.ended_at and not summary.open:
        return f"ended{_ago(summary.ended_at, read_at)}"
    return f"queued{_ago(summary.queued_at, read_at)}"


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _stream_json(summary: StreamSummary) -> dict[str, Any]:
    return {
        "stream": summary.stream,
        "name": summary.name,
        "priority": summary.priority,
        "queued_at": _moment(summary.queued_at),
        "ended_at": _moment(summary.ended_at),
        "completed": summary.completed,
        "failed": summary.failed,
        "running": summary.running,
        "waiting": summary.waiting,
        "partial": summary.partial,
    }


def _job_json(job: JobReading, read_at: datetime) -> dict[str, Any]:
    seconds = run_seconds(job, read_at)
    return {
        "job": job.job,
        "agent": job.agent_type,
        "state": job.state.value,
        "items": job.items,
        "attempt": job.epoch,
        "host": job.host,
        "started_at": _moment(job.started_at),
        "ended_at": _moment(job.ended_at),
        "run_seconds": None if seconds is None else round(seconds, 3),
        "text": job.text,
        "obstacle": _obstacle_json(job.obstacle),
        "reason": reason(job) or None,
    }


def _obstacle_json(obstacle: Obstacle | None) -> dict[str, str] | None:
    return {"kind": obstacle.kind.value, "subject": obstacle.subject} if obstacle else None
