"""Processor time of a fleet by process: what other work on the machine distorts least."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import psutil

from tests.bench.fleet import Fleet


def spent_seconds(fleet: Fleet) -> dict[str, float]:
    """By part or server, with all that each has started, agents too; `supervisor` is this very process."""
    return {name: _seconds(root) for name, root in roots(fleet)}


def between(
    before: Mapping[str, float], after: Mapping[str, float], per: float, digits: int
) -> dict[str, float]:
    """What was spent between two looks, divided by `per`; the dearest first."""
    cost = {name: round((after[name] - before[name]) / per, digits) for name in before if name in after}
    return dict(sorted(cost.items(), key=lambda item: -item[1]))


def roots(fleet: Fleet) -> Iterator[tuple[str, psutil.Process]]:
    """Every part and server that runs, and this very process as `supervisor`."""
    yield "supervisor", psutil.Process()
    for server in fleet.services.servers:
        yield server.name, psutil.Process(server.process.pid)
    for child in psutil.Process().children():
        try:
            line = tuple(child.cmdline())
        except psutil.NoSuchProcess:
            continue  # an agent whose worker has ended, by now itself
        for part in fleet.parts:
            arguments = part.command[1:]
            if line[-len(arguments) :] == arguments:
                yield part.name, child


def _seconds(root: psutil.Process) -> float:
    """Of a process and all below it, ended ones too; ours without our children's."""
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
