"""What a fleet costs that has nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil

from tests.bench.figures import Figures
from tests.bench.fleet import Fleet

SETTLING_SECONDS = 10.0
WATCHED_SECONDS = 30.0


def idle(fleet: Fleet, runs: int) -> Figures:
    """Processor time of every process, the servers and the supervisor included, in percent of one core.

    Watched once: half a minute is a median of its own.
    """
    fleet.rest(SETTLING_SECONDS)
    roots = dict(_roots(fleet))
    began, before = time.monotonic(), {name: _seconds(root) for name, root in roots.items()}
    fleet.rest(WATCHED_SECONDS)
    passed = time.monotonic() - began
    percent = {name: 100 * (_seconds(root) - before[name]) / passed for name, root in roots.items()}
    by_cost = sorted(percent.items(), key=lambda item: -item[1])
    return {
        "idle_cpu_percent": round(sum(percent.values()), 2),
        "idle_cpu_percent_by_process": {name: round(value, 2) for name, value in by_cost},
    }


def _roots(fleet: Fleet) -> Iterator[tuple[str, psutil.Process]]:
    """Each part's and server's main process by name; `supervisor` is this very process."""
    yield "supervisor", psutil.Process()
    for server in fleet.services.servers:
        yield server.name, psutil.Process(server.process.pid)
    for child in psutil.Process().children():
        line = tuple(child.cmdline())
        for part in fleet.parts:
            arguments = part.command[1:]
            if line[-len(arguments) :] == arguments:
                yield part.name, child


def _seconds(root: psutil.Process) -> float:
    """Processor time of a process and all below it, ended ones too; ours without our children's."""
    if root.pid == psutil.Process().pid:
        own = root.cpu_times()
        return float(own.user + own.system)
    spent = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            spent += sum(process.cpu_times()[:4])  # user, system, and both of the children it has waited for
        except psutil.NoSuchProcess:
            continue  # its parent has its time now
    return spent
