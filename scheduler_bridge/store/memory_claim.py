"""Which job a hint leads to in MemoryStore, and whether it may start; as `claim` and `first_in_turn` in migrations/."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from scheduler_bridge.model.jobs import Work
from scheduler_bridge.plan import admission
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind
from scheduler_bridge.store.memory_records import Attempt
from scheduler_bridge.store.memory_state import MemoryState

Turn: TypeAlias = tuple[int, datetime, int]  # priority with its sign turned, time of the hint, job


def claim(state: MemoryState, hint: int, worker: str, host: str, lease: timedelta) -> Work | Obstacle:
    """Lease the job that goes first when this hint arrives, or say why the hint's own may not start."""
    while True:
        first = first_in_turn(state, hint, host)
        refusal = admission.obstacle(state.facts(first, host))
        if refusal is None:
            if first != hint and hint in state.open:
                state.open[hint].gave_way = state.open[hint].hinted
            return _lease_to(state, first, worker, host, lease)
        _refuse(state, first, refusal)
        if first == hint and (refusal.kind.gone or first_in_turn(state, hint, host) == hint):
            return refusal


def first_in_turn(state: MemoryState, hint: int, host: str) -> int:
    """The job that a hint serves on a host: its own, one more urgent, or one that gave way before."""
    own = state.open.get(hint)
    waits = _turns(state, host)
    if own is None or not own.waits or own.parked:
        return min(_gave_way(state, waits), default=(0, state.now(), hint))[2]
    urgent = [turn for turn in waits if -turn[0] > own.priority]
    mine = (-own.priority, own.proposed_at or state.now(), hint)
    earlier = [turn for turn in _gave_way(state, waits) if turn[0] == mine[0] and turn < mine]
    return min(urgent or earlier, default=mine)[2]


def _turns(state: MemoryState, host: str) -> list[Turn]:
    """The jobs whose hints are under way and that this host can run."""
    report = state.hosts.get(host)
    return [
        (-one.priority, one.proposed_at, job)
        for job, one in state.open.items()
        if report and one.hinted and one.proposed_at and report.can_run(one, host)
    ]


def _gave_way(state: MemoryState, turns: list[Turn]) -> list[Turn]:
    return [turn for turn in turns if state.open[turn[2]].gave_way]


def _lease_to(state: MemoryState, job: int, worker: str, host: str, lease: timedelta) -> Work:
    one, row = state.open[job], state.queue.rows[job]
    stream = state.queue.streams[row.stream]
    one.worker, one.ready, one.proposals, one.gave_way = worker, True, 0, False
    one.obstacle = one.subject = one.proposed_at = None
    epoch = state.epochs[job] = state.epochs.get(job, 0) + 1
    expires_at = state.now() + lease
    state.attempts[job, epoch] = Attempt(job, epoch, one.stream, one.agent_type, worker, host, expires_at)
    texts = row.data or "", row.arguments or ""
    people = stream.user or 0, stream.group or 0
    return Work(job, one.stream, one.agent_type, epoch, *texts, *people, stream.priority)


def _refuse(state: MemoryState, job: int, refusal: Obstacle) -> None:
    kind, one = refusal.kind, state.open.get(job)
    if one is None or one.worker is not None:
        return
    if kind in (ObstacleKind.ENDED, ObstacleKind.ORPHAN):
        del state.open[job]
        return
    one.obstacle, one.subject, one.refused_at, one.proposed_at = (
        kind.value,
        refusal.subject,
        state.now(),
        None,
    )
    if kind not in (ObstacleKind.PAUSED, ObstacleKind.TAKEN):  # else its prerequisites were not asked about
        one.ready = kind not in (ObstacleKind.NEEDS, ObstacleKind.DOOMED)
    if kind in (ObstacleKind.DOOMED, ObstacleKind.UNKNOWN_TYPE):
        state.settle([job])
