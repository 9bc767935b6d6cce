"""Which hints MemoryStore sends, takes back and follows.

The functions mean what those of the same names in migrations/ mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import timedelta

from scheduler_bridge.plan.admission import ObstacleKind
from scheduler_bridge.store.memory_records import OpenJob
from scheduler_bridge.store.memory_state import MemoryState
from scheduler_bridge.store.port import Line

LONGEST_PATIENCE = timedelta(seconds=60)  # a hint is given up after this at the latest


def worth_a_hint(state: MemoryState, jobs: Iterable[int]) -> list[int]:
    """Those of these jobs that a hint can help now; the others are parked with their reason."""
    if not state.live_hosts():
        return list(jobs)
    running = Counter(attempt.agent_type for attempt in state.running())
    chosen: Counter[str] = Counter()
    worth = []
    for job in jobs:
        one = state.open.get(job)
        if one is None or not one.waits or one.proposed_at is not None:
            continue
        configured = state.types.get(one.agent_type)
        maximum = configured.maximum if configured else None
        if not state.has_taker(one):
            _park(state, one, *missing(state, one))
        elif maximum is not None and chosen[one.agent_type] >= max(maximum - running[one.agent_type], 1):
            _park(state, one, ObstacleKind.TYPE_FULL, one.agent_type)
        else:
            chosen[one.agent_type] += 1
            worth.append(job)
    return worth


def missing(state: MemoryState, one: OpenJob) -> tuple[ObstacleKind, str]:
    """Why no live host can run a job."""
    if one.agent_type in state.problems:
        return ObstacleKind.BROKEN_TYPE, state.problems[one.agent_type]
    idle = ", which has 0 slots" if one.host in state.hosts and not state.hosts[one.host].slots else ""
    where = f" (only on host {one.host}{idle})" if one.host else ""
    said = [
        f"{name}: {host.problems[one.agent_type]}"
        for name, host in sorted(state.live_hosts().items())
        if one.agent_type in host.problems and one.host in (None, name)
    ]
    return ObstacleKind.NO_HOST, one.agent_type + where + (f" ({'; '.join(said)})" if said else "")


def top_up(state: MemoryState, stream: int, window: int, low: int) -> list[Line]:
    """Propose the next startable jobs of a stream, as many as its window has room for."""
    mine = [one for one in state.open.values() if one.stream == stream]
    out = sum(one.waits and one.proposed_at is not None for one in mine)
    if out > low or out >= window:
        return []
    return state.propose(worth_a_hint(state, state.startable(stream))[: window - out])


def window_size(state: MemoryState) -> int:
    """The most hints of one stream that may be outstanding."""
    return max(20, min(200, 2 * sum(host.slots for host in state.live_hosts().values())))


def release_hosted(state: MemoryState, host: str, types: Collection[str]) -> bool:
    """A host reports what it can run: free what waited for one; whether there was any."""
    kinds = (ObstacleKind.NO_HOST.value, ObstacleKind.BROKEN_TYPE.value, ObstacleKind.RESPAWN.value)
    freed = [
        one
        for one in state.open.values()
        if one.waits and one.obstacle in kinds and one.agent_type in types and one.host in (None, host)
    ]
    for one in freed:
        one.obstacle = one.subject = None
    return bool(freed)


def withdraw_lost_hints(state: MemoryState, hint_seconds: float) -> None:
    """Let jobs wait again whose hints led nowhere although a slot is free, or that no live host can take."""
    agents = Counter(attempt.host for attempt in state.running())
    live = state.live_hosts()
    free = {name: host for name, host in live.items() if agents[name] < host.slots}
    for one in state.open.values():
        patience = min(timedelta(seconds=hint_seconds) * max(one.proposals, 1), LONGEST_PATIENCE)
        overdue = one.waits and one.proposed_at is not None and one.proposed_at < state.now() - patience
        could_run = any(host.can_run(one, name) for name, host in free.items())
        if overdue and (could_run or (live and not state.has_taker(one))):
            one.proposed_at, one.gave_way = None, False


def _park(state: MemoryState, one: OpenJob, kind: ObstacleKind, subject: str) -> None:
    one.obstacle, one.subject, one.refused_at = kind.value, subject, state.now()
