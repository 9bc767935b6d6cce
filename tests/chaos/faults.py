"""Random faults of one trial; pure, the same for the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random

PROCESSES = ("bridge1", "bridge2", "w1", "w2", "housekeeping", "beat1", "beat2")
WORKERS = ("w1", "w2")
SERVERS = ("postgres", "valkey")
FAULTS = (2, 6)
FIRST_SECONDS, LAST_SECONDS = 0.1, 5.0  # of a fault's beginning
ATTEMPTS = 10  # to find a fault whose target has none yet
JUMPS = (-86_400.0, -3600.0, -30.0, 30.0, 3600.0, 86_400.0)
JUMP_LASTS = 3.0  # before it is counted as over: the clock stays wrong until the trial's end


class Deed(Enum):
    """What is done to a target; the value is for the history."""

    KILL = "SIGKILL"  # a server: of all its processes; it starts again on the same folder and port
    STOP = "SIGSTOP"
    FLUSH = "FLUSHALL"
    CUT = "connections cut"
    FREEZE = "connections frozen"
    JUMP = "clock set"


AGENT = "an agent"
WORKER_OF_AGENT = (
    "the worker of an agent"  # of one with much work left: it is still at work when its job runs again
)
FLEET = "everything but the servers"
MACHINE = "the whole machine"
SHORTEST_SECONDS, LONGEST_SECONDS, OUTAGE_SECONDS = (
    0.3,
    6.0,
    12.0,
)  # twice the lease, and longer than timeouts
WHILE_REPEATED = (3.5, 7.0)  # seconds: its lease has expired, and another host is at work on its job
CHANCE_OF_OUTAGE = 0.2
CHANCE_OF_ONE_KIND = (
    0.25  # that all faults of a trial are drawn from two kinds: the same thing again and again
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: begins, lasts, ends."""

    at: float  # seconds from the trial's start
    deed: Deed
    target: str  # a process, a server, PROCESS>SERVER for a connection, or one of those above
    seconds: float  # until it ends: started again, continued, connected
    number: float = 0.0  # which agent, 0 (ends last) to 1; how far the clock is set, seconds

    @property
    def over_at(self) -> float:
        """Seconds from the trial's start."""
        return self.at + self.seconds

    def __str__(self) -> str:
        by = f" by {self.number:+.0f} s" if self.deed is Deed.JUMP else ""
        return f"{self.target}: {self.deed.value}{by}"


def random_faults(chance: Random) -> tuple[Fault, ...]:
    """Two to six faults, those of one target one after the other, in the order of their times."""
    kinds = chance.sample(list(DRAWN), 2) if chance.random() < CHANCE_OF_ONE_KIND else list(DRAWN)
    faults: list[Fault] = []
    for _ in range(chance.randint(*FAULTS)):
        for _ in range(ATTEMPTS):
            fault = _random_fault(chance, kinds)
            if not any(_collide(fault, other) for other in faults):
                faults.append(fault)
                break
    return tuple(sorted(faults, key=lambda fault: fault.at))


def _collide(one: Fault, other: Fault) -> bool:
    together = one.at <= other.over_at and other.at <= one.over_at
    return together and one.target == other.target and one.target not in (AGENT, WORKER_OF_AGENT)


def _random_fault(chance: Random, kinds: list[Draw]) -> Fault:
    draw = chance.choices(kinds, [DRAWN[kind] for kind in kinds])[0]
    deed, target, seconds, number = draw(chance)
    return Fault(chance.uniform(FIRST_SECONDS, LAST_SECONDS), deed, target, seconds, number)


def _lasts(chance: Random) -> float:
    if chance.random() < CHANCE_OF_OUTAGE:
        return chance.uniform(LONGEST_SECONDS, OUTAGE_SECONDS)
    return chance.uniform(SHORTEST_SECONDS, LONGEST_SECONDS)


Drawn = tuple[Deed, str, float, float]  # deed, target, seconds, number
Draw = Callable[[Random], Drawn]


def _kill_process(chance: Random) -> Drawn:
    return Deed.KILL, chance.choice(PROCESSES), chance.choice((0.0, 0.0, 0.5, 2.0)), 0.0


def _kill_worker_of_agent(chance: Random) -> Drawn:
    return Deed.KILL, WORKER_OF_AGENT, chance.choice((0.0, 0.0, 0.0, 4.5)), chance.random()


def _stop_worker_of_agent(chance: Random) -> Drawn:
    return Deed.STOP, WORKER_OF_AGENT, chance.uniform(*WHILE_REPEATED), chance.random()


def _kill_fleet(chance: Random) -> Drawn:
    return Deed.KILL, FLEET, chance.choice((0.0, 4.0)), 0.0


def _kill_server(chance: Random) -> Drawn:
    return Deed.KILL, chance.choice(SERVERS), chance.choice((0.0, 0.5, 3.0)), 0.0


def _stop_process(chance: Random) -> Drawn:
    return Deed.STOP, chance.choice(PROCESSES), _lasts(chance), 0.0


def _stop_server(chance: Random) -> Drawn:
    return Deed.STOP, chance.choice(SERVERS), _lasts(chance), 0.0


def _stop_machine(chance: Random) -> Drawn:
    return Deed.STOP, MACHINE, _lasts(chance), 0.0


def _strike_agent(chance: Random) -> Drawn:
    deed = chance.choice((Deed.KILL, Deed.STOP))
    return deed, AGENT, _lasts(chance) if deed is Deed.STOP else 0.0, chance.random()


def _flush(chance: Random) -> Drawn:
    return Deed.FLUSH, "valkey", 0.0, 0.0


def _strike_connection(chance: Random) -> Drawn:
    link = f"{chance.choice((*PROCESSES, *WORKERS, *WORKERS))}>{chance.choice(SERVERS)}"
    return chance.choice((Deed.CUT, Deed.FREEZE)), link, _lasts(chance), 0.0


def _jump(chance: Random) -> Drawn:
    return Deed.JUMP, f"{chance.choice(PROCESSES)}>clock", JUMP_LASTS, chance.choice(JUMPS)


DRAWN: Mapping[Draw, int] = {
    _kill_process: 3,
    _kill_worker_of_agent: 8,
    _stop_worker_of_agent: 5,
    _kill_fleet: 1,
    _kill_server: 3,
    _stop_process: 3,
    _stop_server: 2,
    _stop_machine: 1,
    _strike_agent: 3,
    _flush: 2,
    _strike_connection: 4,
    _jump: 1,
}
