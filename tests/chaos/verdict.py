"""Judges a trial: the rows against the model, the ledger against what the agents have written down themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import Any

import psycopg

from tests.chaos.absence import Absence
from tests.chaos.faults import Deed
from tests.chaos.model import COMPLETED, FAILED, endings, too_early
from tests.chaos.records import Run
from tests.chaos.streams import Job

ROWS = """
select q.jq_pk, q.jq_endtext, q.jq_end_bits, q.jq_itemsprocessed, extract(epoch from q.jq_endtime)::float8
from jobqueue q where q.jq_pk = any (%s)
"""
ATTEMPTS = """
select a.job, a.epoch, a.worker, a.host, a.agent_pid, a.ending, a.reason,
       extract(epoch from a.started_at)::float8, extract(epoch from a.ended_at)::float8
from scheduler_bridge.attempt a where a.job = any (%s) order by a.job, a.epoch
"""
BROKEN = ("killed by signal: 9", "no heartbeat")  # reasons of an agent that was killed, or stopped for long
KNOWN_DEAD = " has died"  # ends the reason of an attempt that was taken back from a worker known to be dead
CLOCK_SECONDS = 0.005  # what `date` and the database read of one clock may differ by


class Wrong(Enum):
    """What may be wrong; the value is for people."""

    LOST = "lost"
    DOUBLED = "doubled"
    LEFT = "left"
    ORDER = "order"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    wrong: Wrong
    text: str

    def __str__(self) -> str:
        return f"{self.wrong.value}: {self.text}"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of jobqueue."""

    job: int
    text: str | None
    bits: int
    items: int | None
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of the ledger."""

    job: int
    epoch: int
    worker: str | None
    host: str | None
    pid: int | None
    ending: str | None
    reason: str
    started_at: float | None
    ended_at: float | None


@dataclass(frozen=True)
class Evidence:
    """All that is known about a trial's jobs; those are known by their position."""

    jobs: Sequence[Job]
    numbers: Mapping[int, int]  # jq_pk by position
    rows: Mapping[int, Row]
    attempts: Mapping[int, list[Attempt]]
    runs: Mapping[int, list[Run]]
    struck: Mapping[int, Deed]  # agents that a fault has struck, by their number
    absences: Sequence[Absence]  # of workers


def read(
    connection: psycopg.Connection[Any], numbers: Mapping[int, int]
) -> tuple[dict[int, Row], dict[int, list[Attempt]]]:
    """Rows and ledger of these jobs, by position."""
    positions = {job: position for position, job in numbers.items()}
    jobs = list(positions)
    rows = {positions[row[0]]: Row(*row) for row in connection.execute(ROWS, [jobs]).fetchall()}
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    for row in connection.execute(ATTEMPTS, [jobs]).fetchall():
        attempts[positions[row[0]]].append(Attempt(*row))
    return rows, dict(attempts)


def judge(evidence: Evidence) -> list[Finding]:
    """Everything that is wrong with the jobs of a trial that is over."""
    return [*_endings(evidence), *_ledger(evidence), *_doubles(evidence), *_order(evidence)]


def _endings(evidence: Evidence) -> list[Finding]:
    broken = {position for position in evidence.rows if _was_broken(evidence, position)}
    expected = endings(evidence.jobs, broken)
    found = []
    for position, wanted in expected.items():
        row = evidence.rows.get(position)
        if row is None or row.ended_at is None:
            found.append(Finding(Wrong.LOST, f"{_named(evidence, position)} has not ended"))
        elif (COMPLETED if row.bits == 1 else FAILED) != wanted:
            reasons = [attempt.reason for attempt in evidence.attempts.get(position, [])]
            text = f"{_named(evidence, position)} must be {wanted}, is {row.text} ({row.bits}): {reasons}"
            found.append(Finding(Wrong.LOST, text))
        elif (
            wanted == COMPLETED
            and _counts(evidence, position)
            and row.items != evidence.jobs[position].tenths
        ):
            text = (
                f"{_named(evidence, position)} counts {row.items} items, not {evidence.jobs[position].tenths}"
            )
            found.append(Finding(Wrong.LOST, text))
    return found


def _was_broken(evidence: Evidence, position: int) -> bool:
    """Its agent failed because a fault struck it: killed, or stopped for so long that it counted as silent."""
    struck = [
        attempt.reason
        for attempt in evidence.attempts.get(position, [])
        if attempt.pid in evidence.struck and attempt.ending == "failed"
    ]
    return any(sign in reason for reason in struck for sign in BROKEN)


def _counts(evidence: Evidence, position: int) -> bool:
    return evidence.jobs[position].kind.own and bool(evidence.runs.get(position))


def _ledger(evidence: Evidence) -> list[Finding]:
    """Exactly one attempt ended the job, and where its agent writes itself down, it was one that came to its end."""
    found = []
    for position, row in evidence.rows.items():
        attempts = evidence.attempts.get(position, [])
        final = [attempt for attempt in attempts if attempt.ending in ("completed", "failed")]
        if row.ended_at is not None and len(final) != 1:
            found.append(Finding(Wrong.DOUBLED, f"{_named(evidence, position)} was ended by {final}"))
        open_ones = [attempt.epoch for attempt in attempts if attempt.ending is None]
        if open_ones:
            found.append(Finding(Wrong.LOST, f"{_named(evidence, position)}: attempts {open_ones} never end"))
        if evidence.jobs[position].kind.own and row.bits == 1:
            early = [attempt for attempt in final if not _came_to_its_end(evidence, position, attempt)]
            text = (
                f"{_named(evidence, position)} completed by {early}, whose agents had not come to their end"
            )
            found += [Finding(Wrong.DOUBLED, text)] if early else []
    return found


def _came_to_its_end(evidence: Evidence, position: int, attempt: Attempt) -> bool:
    """Whether its own agent had done all of its work when the attempt ended."""
    ends = [run.ended_at for run in evidence.runs.get(position, []) if run.pid == attempt.pid]
    return any(
        end is not None and attempt.ended_at is not None and end <= attempt.ended_at + CLOCK_SECONDS
        for end in ends
    )


def _doubles(evidence: Evidence) -> list[Finding]:
    """No agent was given a job that another still worked on, unless nobody could end that one (see `absence`)."""
    found = []
    for position, runs in evidence.runs.items():
        in_order = sorted(runs, key=lambda run: run.began_at)
        for before, after in combinations(in_order, 2):
            overlap = before.over_at - after.began_at
            if overlap > CLOCK_SECONDS and not _was_out_of_reach(evidence, position, before, after):
                text = f"{_named(evidence, position)}: {before} and {after} overlap by {overlap:.3f} s"
                found.append(Finding(Wrong.DOUBLED, text))
    return found


def _was_out_of_reach(evidence: Evidence, position: int, before: Run, after: Run) -> bool:
    """Whether no worker ran on the first one's host from the second one's begin elsewhere to the first one's end."""
    attempts = {attempt.pid: attempt for attempt in evidence.attempts.get(position, [])}
    first, second = attempts.get(before.pid), attempts.get(after.pid)
    if first is None or second is None or first.host == second.host or first.reason.endswith(KNOWN_DEAD):
        return False
    absences = [absence for absence in evidence.absences if absence.host == first.host]
    return any(absence.covers(after.began_at, before.over_at) for absence in absences)


def _order(evidence: Evidence) -> list[Finding]:
    began = {
        position: min(attempt.started_at for attempt in attempts if attempt.started_at is not None)
        for position, attempts in evidence.attempts.items()
        if any(attempt.started_at is not None for attempt in attempts)
    }
    ended = {position: row.ended_at for position, row in evidence.rows.items() if row.ended_at is not None}
    return [
        Finding(Wrong.ORDER, f"{_named(evidence, job)} began before {_named(evidence, need)} had ended")
        for job, need in too_early(evidence.jobs, began, ended)
    ]


def _named(evidence: Evidence, position: int) -> str:
    number = evidence.numbers.get(position)
    return f"job {number} ({position}: {evidence.jobs[position].agent_type})"
