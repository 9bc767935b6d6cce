"""Chains and crowds of trivial jobs: from the first insert to the last end."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench import latency
from tests.bench.figures import Figures, median
from tests.bench.fleet import Fleet
from tests.bench.history import add_history
from tests.bench.processor import between, spent_seconds
from tests.bench.rows import a_chain, insert

CHAIN = 50
CROWD = 200
HISTORY_ROWS = 300_000


def chain(fleet: Fleet, runs: int) -> Figures:
    """Fifty jobs, each after the one before."""
    return {"chain50_s": median(_seconds(fleet, CHAIN, a_chain(CHAIN)) for _ in range(runs))}


def crowd(fleet: Fleet, runs: int) -> Figures:
    """Two hundred jobs that need nothing; also what each costs the machine, the agent's process included."""
    before = spent_seconds(fleet)
    rate = _rate(fleet, runs)
    cost = between(before, spent_seconds(fleet), runs * CROWD / 1000, 2)
    return {
        "jobs_per_s": rate,
        "cpu_ms_per_job": round(sum(cost.values()), 2),
        "cpu_ms_per_job_by_process": cost,
    }


def crowd_on_one_slot(fleet: Fleet, runs: int) -> Figures:
    """The same on a fleet of one slot."""
    return {"hostmax1_jobs_per_s": _rate(fleet, runs)}


def with_history(fleet: Fleet, runs: int) -> Figures:
    """Latency and crowd once more before and after 300,000 ended rows, each with a dependency."""
    before = _rate(fleet, runs)
    start_before = latency.announced(fleet, runs)["start_p50_ms"]
    add_history(fleet.connection, HISTORY_ROWS)
    after = _rate(fleet, runs)
    start_after = latency.announced(fleet, runs)["start_p50_ms"]
    return {
        "jobs_per_s_history": after,
        "jobs_ratio_history": round(after / before, 3),
        "start_p50_ms_history": start_after,
        "start_ratio_history": round(start_after / start_before, 3),
    }


def _rate(fleet: Fleet, runs: int) -> float:
    return median((CROWD / _seconds(fleet, CROWD) for _ in range(runs)), 1)


def _seconds(fleet: Fleet, count: int, needs: Sequence[tuple[int, int]] = ()) -> float:
    inserted = insert(fleet.connection, [0] * count, needs)
    last = max(run.ended_at for run in fleet.finished(inserted))
    return (last - inserted.begun_at).total_seconds()
