"""How many messages a stream costs, in which shapes, and how large they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from tests.bench.dags import JOBS, dag
from tests.bench.figures import Figures
from tests.bench.fleet import Fleet
from tests.bench.rows import a_chain, insert
from tests.bench.tap import Message, Tally, tap
from tests.bench.throughput import CHAIN, CROWD

SMALL = 10
DAGS = 8
TRAILING_SECONDS = 1.0  # the body of the last chord comes after the last job


def messages(fleet: Fleet, runs: int) -> Figures:
    """One untimed run with the broker watched: each message is counted once, so once is enough."""
    everything: list[Message] = []
    by_stream: Figures = {}
    jobs = 0
    with tap(fleet.broker) as line:
        line.taken()
        for name, data, needs in _streams():
            fleet.finished(insert(fleet.connection, data, needs))
            fleet.rest(TRAILING_SECONDS)
            taken = line.taken()
            everything += taken
            jobs += len(data)
            by_stream[name] = {"jobs": len(data), **asdict(Tally.of(taken))}
    tally = Tally.of(everything)
    return {
        "messages_per_job": round(tally.messages / jobs, 3),
        "message_bytes_max_small": tally.bytes_max,
        "chains_published": tally.chains,
        "chords_published": tally.chords,
        "hints_published": tally.hints,
        "jobs_watched": jobs,
        "published_by_stream": by_stream,
    }


def _streams() -> Iterator[tuple[str, list[int], list[tuple[int, int]]]]:
    """Name, data, dependencies."""
    yield "ten", [0] * SMALL, [(SMALL - 1, job) for job in range(SMALL - 1)]
    yield "chain", [0] * CHAIN, a_chain(CHAIN)
    yield "crowd", [0] * CROWD, []
    for seed in range(DAGS):
        graph = dag(seed)
        yield f"{graph.shape} {seed}", [0] * JOBS, graph.pairs
