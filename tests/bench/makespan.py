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
    for seed in range(SEEDS):
        graph = dag(seed)
        inserted = insert(fleet.connection, graph.sleeps_ms, graph.pairs)
        finished = fleet.finished(inserted)
        ratios.setdefault(graph.shape, []).append(_makespan_s(inserted, finished) / graph.critical_path_s)
        violations += too_early(graph, finished)
    every = [ratio for group in ratios.values() for ratio in group]
    return {
        "makespan_ratio_max": round(max(every), 4),
        "makespan_ratio_mean": mean(every, 4),
        "makespan_ratio_by_shape": {shape: round(max(group), 4) for shape, group in ratios.items()},
        "dag_violations": violations,
    }


def too_early(graph: Dag, runs: list[Run]) -> int:
    """How many dependencies a job did not wait for."""
    return sum(runs[job].started_at < runs[need].ended_at for job, need in graph.pairs)


def _makespan_s(inserted: Inserted, runs: list[Run]) -> float:
    return (max(run.ended_at for run in runs) - inserted.committed_at).total_seconds()
