"""A steady load: two streams a second of one shape after another, failing and chatty agents, orders now and then."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scheduler_bridge.store.submission import submit
from scheduler_bridge.stream_file import StreamFile, StreamJob
from tests.bench.commands import ask
from tests.bench.fleet import Fleet
from tests.bench.workshop import AGENT_TYPE

AGENTS = Path(__file__).with_name("agents")
CHATTY, FAILING = "chatty", "failing"
ROUND_SECONDS = 0.5
LONG_MS = 20_000  # of a job that is killed or paused long before
PAUSED_SECONDS = 2.0
REST_SECONDS = 1.0  # from an insert to the order that concerns it

Needs = tuple[int, ...]
Task = tuple[str, int, Needs]  # agent type, milliseconds of sleep, prerequisites by position


def chain(chance: random.Random) -> list[Task]:
    """Five in a row."""
    return [(AGENT_TYPE, chance.randint(0, 30), (job - 1,) if job else ()) for job in range(5)]


def crowd(chance: random.Random) -> list[Task]:
    """Eight that need nothing."""
    return [(AGENT_TYPE, chance.randint(0, 50), ()) for _ in range(8)]


def fan(chance: random.Random) -> list[Task]:
    """One, six behind it, one behind them."""
    middle: list[Task] = [(AGENT_TYPE, chance.randint(0, 50), (0,)) for _ in range(6)]
    return [(AGENT_TYPE, 0, ()), *middle, (AGENT_TYPE, 0, tuple(range(1, 7)))]


def scattered(chance: random.Random) -> list[Task]:
    """Twelve, each with up to two prerequisites anywhere before it."""
    return [
        (
            AGENT_TYPE,
            chance.randint(0, 40),
            tuple(sorted(chance.sample(range(job), min(job, chance.randint(0, 2))))),
        )
        for job in range(12)
    ]


def chatty(chance: random.Random) -> list[Task]:
    """Two that print much."""
    return [(CHATTY, 0, ()), (CHATTY, 0, (0,))]


def failing(chance: random.Random) -> list[Task]:
    """One that fails, with two that depend on it and one that does not."""
    return [(FAILING, 0, ()), (AGENT_TYPE, 0, (0,)), (AGENT_TYPE, 0, (1,)), (AGENT_TYPE, 0, ())]


SHAPES: Sequence[Callable[[random.Random], list[Task]]] = (
    chain,
    crowd,
    fan,
    chatty,
    scattered,
    crowd,
    failing,
    fan,
)
KILL_EVERY, PAUSE_EVERY, ASK_EVERY = 20, 30, 4  # rounds


@dataclass
class Load:
    """Inserts and gives orders when their time has come; one thread."""

    fleet: Fleet
    seed: int
    rounds: int = 0
    jobs: int = 0
    _due: list[tuple[float, bytes]] = field(default_factory=list)
    _next_at: float = 0.0

    def tend(self, now: float) -> None:
        """Do what is due; `now` in seconds since the start."""
        while self._next_at <= now:
            self._round(now)
            self._next_at += ROUND_SECONDS
        for at, command in [order for order in self._due if order[0] <= now]:
            self._due.remove((at, command))
            ask(self.fleet, command)

    def give_last_orders(self) -> None:
        """What was paused goes on, whatever the time."""
        for _, command in self._due:
            ask(self.fleet, command)
        self._due.clear()

    def _round(self, now: float) -> None:
        chance = random.Random(f"{self.seed} {self.rounds}")
        self._submit(SHAPES[self.rounds % len(SHAPES)](chance))
        if self.rounds % KILL_EVERY == 0:
            job = self._submit([(AGENT_TYPE, LONG_MS, ()), (AGENT_TYPE, 0, (0,))])
            self._due.append((now + REST_SECONDS, b'kill %d "the soak wants it"' % job))
        if self.rounds % PAUSE_EVERY == 0:
            job = self._submit([(AGENT_TYPE, int(REST_SECONDS * 2000), ())])
            self._due.append((now + REST_SECONDS, b"pause %d" % job))
            self._due.append((now + REST_SECONDS + PAUSED_SECONDS, b"restart %d" % job))
        if self.rounds % ASK_EVERY == 0:
            self._due.append((now, b"status"))
        self.rounds += 1

    def _submit(self, tasks: list[Task]) -> int:
        """The number of the first job."""
        jobs = tuple(
            StreamJob(agent, f"job{place}", str(milliseconds), "", needs, None, 0, 0)
            for place, (agent, milliseconds, needs) in enumerate(tasks)
        )
        submitted = submit(
            self.fleet.connection, StreamFile("soak", "soak", 0, jobs, tuple(range(len(jobs))))
        )
        self.jobs += len(jobs)
        return submitted.jobs[0].job


def add_agents(configuration: Path) -> None:
    """The agent types of the load beside the trivial one."""
    for name in (CHATTY, FAILING):
        folder = configuration / "mods-enabled" / name / "agent"
        folder.mkdir(parents=True)
        shutil.copy(AGENTS / name, folder / name)
        (folder.parent / f"{name}.conf").write_text(f"[default]\ncommand = {name}\nmax = -1\nspecial[] =\n")
