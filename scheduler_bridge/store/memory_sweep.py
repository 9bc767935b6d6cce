"""The parts of MemoryStore's sweep, and the ends of attempts; they mean what migrations/ mean."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from scheduler_bridge.model.jobs import Ending, Outcome
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind, obstacle
from scheduler_bridge.store.memory_queue import FAILED_BITS, PAUSED_AT
from scheduler_bridge.store.memory_records import Attempt, OpenJob
from scheduler_bridge.store.memory_state import MemoryState

SETTLES_BEFORE = timedelta(seconds=10)  # a refusal is looked at again after this


def end(state: MemoryState, job: int, outcome: Outcome) -> None:
    """Completed or failed: the row ends, unless somebody else has ended it, and leaves the mirror."""
    row = state.queue.rows.get(job)
    if row and row.end is None:
        completed = outcome.ending is Ending.COMPLETED
        row.end, row.schedinfo, row.items = state.now(), None, outcome.items
        row.bits |= 1 if completed else FAILED_BITS
        row.endtext = "Completed" if completed else "Failed"
    state.open.pop(job, None)
    if row and row.failed:
        state.fail_dependents(job)


def give_back(state: MemoryState, attempt: Attempt, obstacle: Obstacle | None = None) -> None:
    """Returned or lost: the row is free again, as if never started, unless somebody else has ended it."""
    row, one = state.queue.rows.get(attempt.job), state.open.get(attempt.job)
    if row is None or row.end is not None:
        state.open.pop(attempt.job, None)
        return
    if attempt.started_at and not row.paused:
        stays = row.endtext == "Paused"
        row.start, row.endtext, row.schedinfo = (PAUSED_AT, "Paused", None) if stays else (None, None, None)
    if one:
        one.worker, one.ready, one.proposed_at, one.proposals = None, True, None, 0
        one.obstacle, one.subject = (obstacle.kind.value, obstacle.subject) if obstacle else (None, None)
        if row.paused:
            one.obstacle = ObstacleKind.PAUSED.value
        one.refused_at = state.now()


def reclaim(state: MemoryState, dead: Collection[str] = ()) -> list[int]:
    """Take back what workers no longer renew or the dead have held, and the limits it drew on; the jobs."""
    lost = [one for one in state.running() if one.worker in dead or _expired(state, one)]
    for attempt in lost:
        why = "has died" if attempt.worker in dead else "expired"
        lease = attempt.worker if attempt.worker in dead else f"the lease of {attempt.worker}"
        attempt.ending, attempt.reason = Ending.LOST, f"{lease} {why}"
        give_back(state, attempt)
    for attempt in lost:
        state.release(attempt.agent_type, attempt.host)
    return sorted(attempt.job for attempt in lost)


def _expired(state: MemoryState, attempt: Attempt) -> bool:
    return attempt.expires_at is None or attempt.expires_at < state.now()


def compare(state: MemoryState) -> None:
    """Bring open jobs to what the rows say."""
    for job, one in list(state.open.items()):
        row = state.queue.rows.get(job)
        if row is None or row.over:
            if one.worker is None:
                del state.open[job]
            continue
        one.priority = state.queue.streams[row.stream].priority
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
