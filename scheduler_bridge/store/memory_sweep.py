"""The parts of MemoryStore's sweep, and the ends of attempts; they mean what migrations/ mean."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from scheduler_bridge.model.agents import Retry
from scheduler_bridge.model.jobs import Ending, Outcome
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind, obstacle
from scheduler_bridge.store.memory_queue import FAILED_BITS, PAUSED_AT, Row
from scheduler_bridge.store.memory_records import Attempt, OpenJob
from scheduler_bridge.store.memory_state import MemoryState

SET_BACK = "its row was set back"
SETTLES_BEFORE = timedelta(seconds=10)  # a refusal is looked at again after this


def conclude(
    state: MemoryState, attempt: Attempt, outcome: Outcome, obstacle: Obstacle | None = None
) -> None:
    """End the attempt; its row ends where no further attempt is due, else it is free again."""
    attempt.ending, attempt.reason, attempt.items = outcome.ending, outcome.reason, outcome.items
    if was_set_back(attempt, state.queue.rows.get(attempt.job)):
        attempt.ending, attempt.reason = Ending.RETURNED, SET_BACK
        _free_row(state, attempt, timedelta(), None)
        return
    wait: timedelta | None = timedelta()
    if outcome.ending in (Ending.FAILED, Ending.LOST):
        wait = next_attempt(state, attempt)
    if outcome.ending is Ending.COMPLETED or wait is None:
        _end_row(state, attempt, outcome)
    else:
        _free_row(state, attempt, wait, obstacle)


def was_set_back(attempt: Attempt, row: Row | None) -> bool:
    """Whether somebody has taken the row's start away while the agent ran."""
    return row is not None and row.end is None and row.start is None and attempt.started_at is not None


def next_attempt(state: MemoryState, attempt: Attempt) -> timedelta | None:
    """How long a job waits for its next attempt; None: it is given up."""
    configured = state.types.get(attempt.agent_type)
    retry = configured.retry if configured else Retry()
    count = len(_failed_or_lost(state, attempt.job))
    if count >= retry.attempts or attempt.ending not in retry.endings:
        return None
    return min(timedelta(hours=1), timedelta(seconds=retry.backoff_seconds) * (1 << min(count - 1, 20)))


def _failed_or_lost(state: MemoryState, job: int) -> list[Attempt]:
    before = state.open[job].before if job in state.open else 0
    found = (one for one in state.attempts.values() if one.job == job and one.epoch > before)
    return [one for one in found if one.ending in (Ending.FAILED, Ending.LOST)]


def _end_row(state: MemoryState, attempt: Attempt, outcome: Outcome) -> None:
    job = attempt.job
    row = state.queue.rows.get(job)
    if row and row.end is None:
        completed = outcome.ending is Ending.COMPLETED
        row.end, row.schedinfo, row.items = state.now(), None, outcome.items
        row.bits |= 1 if completed else FAILED_BITS
        row.endtext = "Completed" if completed else "Failed"
        attempts = len(_failed_or_lost(state, job))
        if outcome.ending is Ending.LOST or (outcome.ending is Ending.FAILED and attempts > 1):
            attempt.reason += f"; given up after {attempts} attempts"
    elif outcome.ending is Ending.COMPLETED:
        attempt.reason = _ended_from_outside(row)
    state.open.pop(job, None)
    if row and row.failed:
        state.fail_dependents(job)


def _free_row(state: MemoryState, attempt: Attempt, wait: timedelta, obstacle: Obstacle | None) -> None:
    row, one = state.queue.rows.get(attempt.job), state.open.get(attempt.job)
    if row is None or row.end is not None:
        attempt.reason = _ended_from_outside(row)
        state.open.pop(attempt.job, None)
        return
    if attempt.started_at and not row.paused:
        stays = row.endtext == "Paused"
        row.start, row.endtext, row.schedinfo = (PAUSED_AT, "Paused", None) if stays else (None, None, None)
    if one:
        one.worker, one.ready, one.proposed_at, one.proposals = None, True, None, 0
        one.obstacle, one.subject = (obstacle.kind.value, obstacle.subject) if obstacle else (None, None)
        one.not_before = state.now() + wait if wait else None
        if row.paused:
            one.obstacle, one.subject = ObstacleKind.PAUSED.value, None
        elif wait:
            one.obstacle, one.subject = ObstacleKind.BACKOFF.value, str(one.not_before)
        one.refused_at = state.now()


def _ended_from_outside(row: Row | None) -> str:
    return f"ended from outside: {row.endtext or '' if row else 'deleted'}"


def end_backoffs(state: MemoryState) -> None:
    """Let jobs be startable whose time to be tried again has come."""
    for one in state.open.values():
        if one.obstacle == ObstacleKind.BACKOFF.value and one.not_before and one.not_before <= state.now():
            one.obstacle = one.subject = None


def reclaim(state: MemoryState, dead: Collection[str] = ()) -> list[int]:
    """Take back what workers no longer renew, or what these dead ones have held, and its limits; the jobs."""
    lost = [one for one in state.running() if (one.worker in dead if dead else _expired(state, one))]
    for attempt in lost:
        why = "has died" if attempt.worker in dead else "expired"
        lease = attempt.worker if attempt.worker in dead else f"the lease of {attempt.worker}"
        conclude(state, attempt, Outcome(Ending.LOST, attempt.items, f"{lease} {why}"))
    for attempt in lost:
        state.release(attempt.agent_type, attempt.host)
    return sorted(attempt.job for attempt in lost)


def _expired(state: MemoryState, attempt: Attempt) -> bool:
    lenient = state.now() < state.turns.lenient_until
    return not lenient and (attempt.expires_at is None or attempt.expires_at < state.now())


def compare(state: MemoryState) -> None:
    """Bring open jobs to what the rows say."""
    for job, one in list(state.open.items()):
        row = state.queue.rows.get(job)
        if row is None or row.over:
            if one.worker is None:
                del state.open[job]
            continue
        one.priority = state.queue.streams[row.stream].priority
        wanted = (row.agent_type, state.wanted_host(row))
        if one.worker is None and (one.agent_type, one.host) != wanted:
            one.agent_type, one.host = wanted
            one.obstacle = one.subject = one.proposed_at = None
        unmet = state.unmet(row)
        if unmet - one.needs and one.worker is None:
            one.planned, one.ready, one.proposed_at = False, False, None
        one.needs = unmet
        if one.waits and one.obstacle and _may_go(state, job, one):
            one.obstacle = one.subject = None


def _may_go(state: MemoryState, job: int, one: OpenJob) -> bool:
    """Whether what was found against it has gone away."""
    long_ago = one.refused_at is not None and one.refused_at < state.now() - SETTLES_BEFORE
    return long_ago and obstacle(state.facts(job, None)) is None and state.has_taker(one)
