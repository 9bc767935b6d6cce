"""Judges what became of orders.

- A kill ends the row at once, unless it has ended before, and an ended row stays as it is.
- From a pause to its restart, and after a kill for ever, no agent is started on the job; one that works on it is
  stopped, or dead, as soon as its worker hears of the order or, where that hears nothing, has lost the lease. Only
  while no worker ran there (see `absence`) can nobody reach the agent.
- A worker that is told to leave takes no job any more, from the moment it hears of it. That it does leave the trial
  waits for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.chaos.absence import Absence
from tests.chaos.evidence import Evidence, Finding, Wrong
from tests.chaos.faults import Deed
from tests.chaos.fleet import LEASE_SECONDS
from tests.chaos.given import Drain, Silence
from tests.chaos.orders import Verb
from tests.chaos.records import Run

REACH_SECONDS = LEASE_SECONDS + 1.0  # until a worker that hears nothing has ended its agent
HEARD_SECONDS = 2.0  # until a worker that hears the database knows of an order
REPORT_SECONDS = (
    12.0  # until it knows that it is drained after it has heard nothing: it asks every ten seconds
)


def disobeyed(evidence: Evidence) -> list[Finding]:
    """Every order that was not carried out, or not to its end."""
    return [*_kills(evidence), *_starts(evidence), *_works_on(evidence), *_claims(evidence)]


def _kills(evidence: Evidence) -> list[Finding]:
    found = []
    for position, then in evidence.given.kills.items():
        now = evidence.rows.get(position)
        if then.ended_at is None:
            found.append(_finding(f"{evidence.named(position)} was killed and goes on"))
        elif now is not None and (now.text, now.bits, now.ended_at) != (then.text, then.bits, then.ended_at):
            found.append(_finding(f"{evidence.named(position)} had ended as {then}, is {now}"))
    return found


def _starts(evidence: Evidence) -> list[Finding]:
    return [
        _finding(f"{evidence.named(silence.job)} was started at {attempt.started_at} in spite of {silence}")
        for silence in evidence.given.silences
        for attempt in evidence.attempts.get(silence.job, [])
        if attempt.started_at is not None and silence.covers(attempt.started_at)
    ]


def _works_on(evidence: Evidence) -> list[Finding]:
    """Agents that have worked where one should have stopped them before."""
    found = []
    for silence in evidence.given.silences:
        hosts = {attempt.pid: attempt.host for attempt in evidence.attempts.get(silence.job, [])}
        for run in evidence.runs.get(silence.job, []):
            moments = (run.began_at, run.ended_at, *run.moments)
            worked = [at for at in moments if at is not None and silence.covers(at)]
            host = hosts.get(run.pid)
            late = bool(worked) and _is_late(evidence, host, silence.since, max(worked))
            if late and not _woken(evidence, silence, run):
                found.append(
                    _finding(
                        f"{evidence.named(silence.job)}: agent {run.pid} worked at {max(worked)} in spite of {silence}"
                    )
                )
    return found


def _is_late(evidence: Evidence, host: str | None, since: float, until: float) -> bool:
    """Whether the agent worked until then although its worker heard of the order, or was there for long enough."""
    absent = [absence for absence in evidence.absences if absence.host == host]
    deaf = [replace(cut, until=cut.until + REACH_SECONDS) for cut in evidence.cut_off if cut.host == host]
    return (
        _longest_without(absent, since, until) > REACH_SECONDS
        or _longest_without([*absent, *deaf], since, until) > HEARD_SECONDS
    )


def _longest_without(times: Iterable[Absence], since: float, until: float) -> float:
    """The longest part of the time from `since` to `until` that is covered by none of these, in seconds."""
    longest = 0.0
    for one in sorted(times, key=lambda one: one.since):
        longest = max(longest, min(one.since, until) - since)
        since = max(since, one.until)
    return max(longest, until - since)


def _woken(evidence: Evidence, silence: Silence, run: Run) -> bool:
    """A fault has stopped a paused agent and let it go on: nobody can tell that from a restart."""
    return silence.verb is Verb.PAUSE and evidence.struck.get(run.pid) is Deed.STOP


def _claims(evidence: Evidence) -> list[Finding]:
    return [
        _finding(f"{drain} has taken {evidence.named(position)} at {attempt.claimed_at}")
        for drain in evidence.given.drains
        for position, attempts in evidence.attempts.items()
        for attempt in attempts
        if drain.worker is not None
        and attempt.worker == drain.worker
        and attempt.claimed_at > drain.since + HEARD_SECONDS
        and not _was_deaf(evidence, drain, attempt.claimed_at)
    ]


def _was_deaf(evidence: Evidence, drain: Drain, until: float) -> bool:
    """Whether the worker may not have heard of it."""
    return any(
        cut.host == drain.host and cut.since < until and cut.until + REPORT_SECONDS > drain.since
        for cut in evidence.cut_off
    )


def _finding(text: str) -> Finding:
    return Finding(Wrong.DISOBEYED, text)
