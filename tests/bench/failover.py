"""Two bridges, one of which is SIGKILLed while rows are inserted: how long nobody plans, and nobody answers.

Twice: the one that holds the command port, under a steady stream of small inserts; and the one that is about to plan
a large stream, which is leased to it at that moment.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scheduler_bridge.procfile import find_procfile, read_procfile
from scheduler_bridge.up import free_port
from tests.bench.commands import ask
from tests.bench.figures import Figures
from tests.bench.fleet import Fleet, ready, running
from tests.bench.processes import process_of
from tests.bench.rows import Inserted, insert
from tests.bench.waiting import POLL_SECONDS, BenchError
from tests.bench.workshop import Workshop
from tests.process_nodes import ProcessBox

NAMES = ("bridge1", "bridge2")
FIRST_PORT = 7100
MOST_RUNS = 3  # each takes as long as what it measures
STEADY_SECONDS = 1.0  # of inserts before the kill
LONGEST_SECONDS = 60.0
LARGE = 30_000  # jobs: their plan takes long enough to be struck
LONG_MS = 600_000
TRIES = 10  # to strike a bridge while it plans

HOLDER = b"select pid from scheduler_bridge.bridge where port is not null order by seen_at desc limit 1"
PIDS = b"select pid, port from scheduler_bridge.bridge"
PLANNER = """
select coalesce((select b.pid from scheduler_bridge.bridge b where b.owner = s.owner), 0)
from scheduler_bridge.stream s where s.stream = %s and s.leased_until > now()
"""
UNPLANNED = "select exists (select from scheduler_bridge.unplanned where stream = %s)"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two bridges beside the other parts."""

    fleet: Fleet
    boxes: tuple[ProcessBox, ...]

    def kill(self, pid: int) -> float:
        """SIGKILL to the bridge of this pid; the monotonic time of it."""
        (box,) = [box for box in self.boxes if box.status == "running" and box.pid == pid]
        at = time.monotonic()
        box.kill()
        return at

    def complete(self) -> None:
        """Start what is missing and wait until both report, one of them with the port."""
        for box in self.boxes:
            if box.status != "running":
                box.start()
        self.fleet.wait(self._is_complete, seconds=LONGEST_SECONDS, what="two bridges")

    def _is_complete(self) -> bool:
        found = dict(self.fleet.connection.execute(PIDS).fetchall())
        here = [found[box.pid] for box in self.boxes if box.pid in found]
        return len(here) == len(self.boxes) and any(here)


def failover(shop: Workshop, runs: int) -> Figures:
    """The longest gap of all runs, and the longest of each kind."""
    with _pair(shop) as pair:
        found = [_strike_holder(pair) for _ in range(min(runs, MOST_RUNS))]
        leased = [_strike_planner(pair) for _ in range(min(runs, MOST_RUNS))]
    gaps = {
        "port_s": max(port for port, _ in found),
        "small_streams_s": max(plans for _, plans in found),
        "leased_stream_s": max(leased),
    }
    return {
        "bridge_failover_s": round(max(gaps.values()), 2),
        "bridge_failover_by_gap_s": {name: round(seconds, 3) for name, seconds in gaps.items()},
    }


@contextmanager
def _pair(shop: Workshop) -> Iterator[Pair]:
    parts = read_procfile(find_procfile())
    (bridge,) = [part for part in parts if part.name == "bridge"]
    port = {"SCHEDULER_BRIDGE_PORT": str(free_port(FIRST_PORT))}
    with running(shop, [part for part in parts if part is not bridge], port) as fleet:
        boxes = tuple(process_of(fleet, bridge, name) for name in NAMES)
        try:
            pair = Pair(fleet, boxes)
            pair.complete()
            fleet.wait(lambda: ready(fleet), seconds=LONGEST_SECONDS, what="the fleet")
            yield pair
        finally:
            for box in boxes:
                box.teardown()


def _strike_holder(pair: Pair) -> tuple[float, float]:
    """Seconds without an answer, and the longest that a row waited for its agent after its commit."""
    pair.complete()
    fleet = pair.fleet
    (holder,) = fleet.connection.execute(HOLDER).fetchall()[0]
    inserted: list[Inserted] = []
    steady_until = time.monotonic() + STEADY_SECONDS
    while time.monotonic() < steady_until:
        _insert_one(fleet, inserted)
    killed_at = pair.kill(holder)
    while not _answers(fleet):
        _insert_one(fleet, inserted)
        if time.monotonic() > killed_at + LONGEST_SECONDS:
            raise BenchError("no bridge has taken the port")
    port_seconds = time.monotonic() - killed_at
    waits = [
        (run.started_at - one.committed_at).total_seconds() for one in inserted for run in fleet.finished(one)
    ]
    return port_seconds, max(waits)


def _insert_one(fleet: Fleet, inserted: list[Inserted]) -> None:
    inserted.append(insert(fleet.connection, [0]))
    fleet.rest(POLL_SECONDS)


def _answers(fleet: Fleet) -> bool:
    """Whether somebody answers at the port, who has it of those that are alive."""
    try:
        return b"scheduler" in ask(fleet, b"status")
    except OSError:
        return False


def _strike_planner(pair: Pair) -> float:
    """Seconds from the kill of the bridge that has a stream leased to the stream's plan by somebody else.

    The stream stays: its first job sleeps, all others wait for it.
    """
    for _ in range(TRIES):
        pair.complete()
        needs = [(job, 0) for job in range(1, LARGE)]
        stream = insert(pair.fleet.connection, [LONG_MS, *[0] * (LARGE - 1)], needs).stream
        planner = _planner(pair.fleet, stream)
        if planner not in {box.pid for box in pair.boxes}:
            continue  # housekeeping was quicker
        killed_at = pair.kill(planner)
        if _unplanned(pair.fleet, stream):
            pair.fleet.wait(
                lambda stream=stream: not _unplanned(pair.fleet, stream),  # type: ignore[misc]
                seconds=LONGEST_SECONDS,
                what="the plan of a large stream",
            )
            return time.monotonic() - killed_at
    raise BenchError("no bridge could be struck while it planned")


def _planner(fleet: Fleet, stream: int) -> int:
    """The pid of the bridge that has the stream leased, 0: another process; asked without pause, for it is short."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        if found := fleet.connection.execute(PLANNER, [stream]).fetchone():
            return int(found[0])
    raise BenchError("nobody plans")


def _unplanned(fleet: Fleet, stream: int) -> bool:
    return fleet.connection.execute(UNPLANNED, [stream]).fetchone() == (True,)
