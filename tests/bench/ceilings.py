"""What machine and Celery can do without us, on servers of their own."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis
from celery import Celery

from scheduler_bridge.embedded import Services, valkey
from scheduler_bridge.output import LogFolder
from scheduler_bridge.procfile import Part
from scheduler_bridge.supervisor import Supervisor
from scheduler_bridge.up import part_environment
from tests.bench import baseline
from tests.bench.dags import Dag, dag
from tests.bench.figures import Figures, mean, median
from tests.bench.makespan import SEEDS
from tests.bench.waiting import wait
from tests.bench.workshop import PROJECT, Workshop

SPAWNS = 400
AT_ONCE = 10  # agents that live at the same time, as on ten slots
NOOP_TASKS = 3000
NOOP_THREADS = 10
DAGS_AT_ONCE = 4  # their tasks only sleep; each gets fifty threads of its own
DAG_THREADS = 50
WAIT_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Baseline:
    """A Celery of its own, running."""

    app: Celery
    broker: redis.Redis
    supervisor: Supervisor
    logs: Path

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """See `waiting.wait`."""
        wait(self.supervisor, until, seconds=WAIT_SECONDS, what=what, logs=self.logs)


def spawn(shop: Workshop, runs: int) -> Figures:
    """Trivial agents started with an empty input, and waited for: nobody talks to them."""
    return {"spawn_per_s": median((_spawn_rate(shop.program) for _ in range(runs)), 0)}


def noops(shop: Workshop, runs: int) -> Figures:
    """A full queue of no-op tasks, from its first fetch to its last end."""
    with _celery(shop, NOOP_THREADS) as ran:
        _noop_rate(ran)  # a first thousand makes connections
        return {"celery_noop_per_s": median((_noop_rate(ran) for _ in range(runs)), 0)}


def levels(shop: Workshop, runs: int) -> Figures:
    """Our random streams as level-by-level chords whose tasks only sleep; four at a time, each once."""
    ratios: list[float] = []
    with _celery(shop, DAGS_AT_ONCE * DAG_THREADS) as ran:
        _makespans(ran, [dag(0)])  # a first chord makes connections
        for first in range(0, SEEDS, DAGS_AT_ONCE):
            graphs = [dag(seed) for seed in range(first, min(first + DAGS_AT_ONCE, SEEDS))]
            ratios += _makespans(ran, graphs)
    return {"makespan_ratio_levels": round(max(ratios), 4), "makespan_ratio_levels_mean": mean(ratios, 4)}


def _spawn_rate(program: Path) -> float:
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    alive: deque[int] = deque()
    began = time.perf_counter()
    for _ in range(SPAWNS):
        if len(alive) == AT_ONCE:
            os.waitpid(alive.popleft(), 0)
        alive.append(
            os.posix_spawn(program, [str(program)], dict(os.environ), file_actions=actions, setpgroup=0)
        )
    for pid in alive:
        os.waitpid(pid, 0)
    return SPAWNS / (time.perf_counter() - began)


@contextmanager
def _celery(shop: Workshop, threads: int) -> Iterator[Baseline]:
    """A broker, and one worker of the baseline on it, ready."""
    state = shop.new_folder("celery")
    options = f"-P threads -c {threads} --loglevel=INFO --without-gossip --without-mingle"
    command = f"celery -A {baseline.__name__} worker {options}"
    with valkey(state / "valkey") as server, redis.Redis.from_url(server.url) as broker:
        servers = Services("", server.url, database_is_ours=False, servers=(server,))
        environment = part_environment(shop.environment(), servers, shop.configuration, 0)
        part = Part("worker", tuple(command.split()))
        logs = state / "logs"
        with Supervisor([part], environment, LogFolder(logs), folder=PROJECT) as supervisor:
            ran = Baseline(baseline.make_application(server.url), broker, supervisor, logs)
            ran.wait(lambda: bool(broker.exists(f"_kombu.binding.{baseline.QUEUE}")), "the worker")
            yield ran


def _noop_rate(ran: Baseline) -> float:
    ran.broker.delete(baseline.DONE)
    with ran.app.producer_or_acquire() as producer, producer.batch(max_size=4 * NOOP_TASKS):
        for _ in range(NOOP_TASKS):
            ran.app.send_task(baseline.NOOP, (NOOP_TASKS,), producer=producer, ignore_result=True)
        began = time.time()  # all of them leave together, here
    ran.wait(lambda: ran.broker.llen(baseline.DONE) == 1, "the end of the no-op tasks")
    return NOOP_TASKS / (float(cast(bytes, ran.broker.lindex(baseline.DONE, 0))) - began)


def _makespans(ran: Baseline, graphs: list[Dag]) -> list[float]:
    """Makespan / critical path of each."""
    ran.broker.delete(baseline.DONE)
    ended = [f"{baseline.DONE}.{number}" for number, _ in enumerate(graphs)]
    began = []
    for key, graph in zip(ended, graphs, strict=True):
        ran.broker.delete(key)
        naps = [[graph.sleeps_ms[job] for job in level] for level in graph.levels()]
        began.append(time.time())
        ran.app.send_task(baseline.LEVEL, (key, naps), ignore_result=True)
    ran.wait(lambda: ran.broker.exists(*ended) == len(ended), "the end of the chords")
    ends = [float(cast(bytes, ran.broker.lindex(key, 0))) for key in ended]
    return [
        (end - begin) / graph.critical_path_s for end, begin, graph in zip(ends, began, graphs, strict=True)
    ]
