"""Random streams of sleeping jobs: how close to the critical path, and whether dependencies held."""

from __future__ import annotations

from tests.bench.dags import Dag, dag
from tests.bench.figures import Figures, mean
from tests.bench.fleet import Fleet
from tests.bench.rows import Inserted, Run, insert

SEEDS = 20


def dags(fleet: Fleet, runs: int) -> Figures:
    """Twenty seeds, one after another; each is run once, because the twenty are the repetition."""
    ratios: dict[str, list[float]] = {}
    violations = 0
    slowest = 0.0
    for seed in range(SEEDS):
        graph = dag(seed)
        inserted = insert(fleet.connection, graph.sleeps_ms, graph.pairs)
        finished = fleet.finished(inserted)
        ratios.setdefault(graph.shape, []).append(_makespan_s(inserted, finished) / graph.critical_path_s)
        waits = waits_ms(graph, inserted, finished)
        violations += sum(wait < 0 for wait in waits)
        slowest = max(slowest, *waits)
    every = [ratio for group in ratios.values() for ratio in group]
    return {
        "makespan_ratio_max": round(max(every), 4),
        "makespan_ratio_mean": mean(every, 4),
        "makespan_ratio_by_shape": {shape: round(max(group), 4) for shape, group in ratios.items()},
        "startable_to_started_max_ms": round(slowest, 1),
        "dag_violations": violations,
    }


def waits_ms(graph: Dag, inserted: Inserted, runs: list[Run]) -> list[float]:
    """From the end of each job's last prerequisite, or the insert, to its start; below 0: it has not waited."""
    ready = [
        max((runs[need].ended_at for need in needs), default=inserted.committed_at) for needs in graph.needs
    ]
    return [(run.started_at - at).total_seconds() * 1000 for run, at in zip(runs, ready, strict=True)]


def _makespan_s(inserted: Inserted, runs: list[Run]) -> float:
    return (max(run.ended_at for run in runs) - inserted.committed_at).total_seconds()
