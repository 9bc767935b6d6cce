"""Judges a trial: the rows against the model, the ledger against what the agents have written down themselves."""

from __future__ import annotations

from itertools import combinations, pairwise

from tests.chaos.evidence import Evidence, Finding, Wrong
from tests.chaos.model import COMPLETED, FAILED, endings, too_early
from tests.chaos.obedience import disobeyed
from tests.chaos.records import Run
from tests.chaos.rows import Attempt

BROKEN = ("killed by signal: 9", "no heartbeat")  # reasons of an agent that was killed, or stopped for long
OUTSIDE = "ended from outside"  # begins the reason of an attempt that came to its end and did not end the row
KNOWN_DEAD = " has died"  # ends the reason of an attempt that was taken back from a worker known to be dead
CLOCK_SECONDS = 0.005  # what `date` and the database read of one clock may differ by


def judge(evidence: Evidence) -> list[Finding]:
    """Everything that is wrong with the jobs of a trial that is over."""
    return [
        *_endings(evidence),
        *_ledger(evidence),
        *_doubles(evidence),
        *_order(evidence),
        *disobeyed(evidence),
    ]


def _endings(evidence: Evidence) -> list[Finding]:
    broken = {position for position in evidence.rows if _was_broken(evidence, position)}
    expected = endings(evidence.jobs, broken, evidence.given.killed)
    found = []
    for position, wanted in expected.items():
        row = evidence.rows.get(position)
        if row is None or row.ended_at is None:
            found.append(Finding(Wrong.LOST, f"{evidence.named(position)} has not ended"))
        elif (COMPLETED if row.bits == 1 else FAILED) != wanted:
            reasons = [attempt.reason for attempt in evidence.life(position)]
            text = f"{evidence.named(position)} must be {wanted}, is {row.text} ({row.bits}): {reasons}"
            found.append(Finding(Wrong.LOST, text))
        elif (
            wanted == COMPLETED
            and _counts(evidence, position)
            and row.items != evidence.jobs[position].tenths
        ):
            text = (
                f"{evidence.named(position)} counts {row.items} items, not {evidence.jobs[position].tenths}"
            )
            found.append(Finding(Wrong.LOST, text))
    return found


def _was_broken(evidence: Evidence, position: int) -> bool:
    """Its agent failed because a fault struck it: killed, or stopped for so long that it counted as silent."""
    struck = [
        attempt.reason
        for attempt in evidence.life(position)
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
        final = _final(evidence.life(position))
        if row.ended_at is not None and len(final) != 1 and not _was_cut_short(evidence, position):
            found.append(Finding(Wrong.DOUBLED, f"{evidence.named(position)} was ended by {final}"))
        for life in _earlier_lives(evidence, position):
            text = f"{evidence.named(position)} was ended in an earlier life by {_final(life)}"
            found += [Finding(Wrong.DOUBLED, text)] if len(_final(life)) > 1 else []
        open_ones = [attempt.epoch for attempt in attempts if attempt.ending is None]
        if open_ones:
            found.append(Finding(Wrong.LOST, f"{evidence.named(position)}: attempts {open_ones} never end"))
        if evidence.jobs[position].kind.own and row.bits == 1:
            early = [attempt for attempt in final if not _came_to_its_end(evidence, position, attempt)]
            text = f"{evidence.named(position)} completed by {early}, whose agents had not come to their end"
            found += [Finding(Wrong.DOUBLED, text)] if early else []
    return found


def _final(attempts: list[Attempt]) -> list[Attempt]:
    """Those that have ended the row; of one that was killed or set back meanwhile the ledger says so."""
    ended = [attempt for attempt in attempts if attempt.ending in ("completed", "failed")]
    return [attempt for attempt in ended if not attempt.reason.startswith(OUTSIDE)]


def _was_cut_short(evidence: Evidence, position: int) -> bool:
    """A kill has ended the job while an attempt ran, which so came to no end of its own."""
    life = evidence.life(position)
    return position in evidence.given.killed and bool(life) and not _final(life)


def _earlier_lives(evidence: Evidence, position: int) -> list[list[Attempt]]:
    """Attempts before each rerun."""
    bounds = pairwise([0, *evidence.given.lives.get(position, [])])
    attempts = evidence.attempts.get(position, [])
    return [[attempt for attempt in attempts if after < attempt.epoch <= last] for after, last in bounds]


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
                text = f"{evidence.named(position)}: {before} and {after} overlap by {overlap:.3f} s"
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
    starts = {
        position: [
            attempt.started_at for attempt in evidence.life(position) if attempt.started_at is not None
        ]
        for position in evidence.attempts
    }
    began = {position: min(found) for position, found in starts.items() if found}
    ended = {position: row.ended_at for position, row in evidence.rows.items() if row.ended_at is not None}
    return [
        Finding(Wrong.ORDER, f"{evidence.named(job)} began before {evidence.named(need)} had ended")
        for job, need in too_early(evidence.jobs, began, ended)
    ]
