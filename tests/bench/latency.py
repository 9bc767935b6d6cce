"""From an insert's commit to the agent's first OK, one job at a time on an idle fleet."""

from __future__ import annotations

import time

from scheduler_bridge.migrate import install_trigger, remove_trigger
from tests.bench.figures import Figures, median
from tests.bench.fleet import Fleet
from tests.bench.rows import Inserted, Run, insert

JOBS_A_RUN = 50
UNTOLD_JOBS = 15
UNTOLD_PAUSE_SECONDS = 0.7  # no divisor of an interval: the inserts fall on all its phases
COMMITS = 30


def announced(fleet: Fleet, runs: int) -> Figures:
    """As `submit` does it: the inserting transaction sends the NOTIFY. There is no trigger."""
    remove_trigger(fleet.services.database_url)
    samples = [_one_by_one(fleet, announce=True) for _ in range(runs)]
    return {
        "start_p50_ms": median((median(sample) for sample in samples), 2),
        "start_max_ms": round(max(map(max, samples)), 2),
        "commit_ms": _commit_ms(fleet),
    }


def unannounced(fleet: Fleet, runs: int) -> Figures:
    """By somebody who knows nothing of us: first with our trigger on the table, then with nothing at all."""
    install_trigger(fleet.services.database_url)
    samples = [_one_by_one(fleet, announce=False) for _ in range(runs)]
    remove_trigger(fleet.services.database_url)
    untold = _untold(fleet)
    return {
        "unannounced_p50_ms": median((median(sample) for sample in samples), 2),
        "unannounced_max_ms": round(max(map(max, samples)), 2),
        "no_trigger_max_ms": round(max(untold)),
        "no_trigger_p50_ms": round(median(untold)),
    }


def _one_by_one(fleet: Fleet, *, announce: bool) -> list[float]:
    found = []
    for _ in range(JOBS_A_RUN):
        inserted = insert(fleet.connection, [0], announce=announce)
        found.append(_milliseconds(inserted, fleet.finished(inserted)))
    return found


def _untold(fleet: Fleet) -> list[float]:
    inserted = []
    for _ in range(UNTOLD_JOBS):
        inserted.append(insert(fleet.connection, [0], announce=False))
        fleet.rest(UNTOLD_PAUSE_SECONDS)
    return [_milliseconds(one, fleet.finished(one)) for one in inserted]


def _milliseconds(inserted: Inserted, runs: list[Run]) -> float:
    return (runs[0].started_at - inserted.committed_at).total_seconds() * 1000


def _commit_ms(fleet: Fleet) -> float:
    fleet.connection.execute("create table public.bench_commit (number int)")
    found = []
    for number in range(COMMITS):
        began = time.perf_counter()
        fleet.connection.execute("insert into public.bench_commit values (%s)", [number])
        found.append((time.perf_counter() - began) * 1000)
    fleet.connection.execute("drop table public.bench_commit")
    return median(found)
