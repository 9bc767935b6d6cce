"""Order of things that need each other; what cannot be ordered is named as cycles."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush


def in_order(needs: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Positions with what each needs before it, otherwise in their order; and cycles among the rest.

    `needs[i]` are the positions that `i` needs, each once. Each position is in at most one of the cycles, so
    another cycle may appear when these are cut; there is none exactly when the order is complete.
    """
    missing = [len(each) for each in needs]
    dependents: list[list[int]] = [[] for _ in needs]
    for position, each in enumerate(needs):
        for needed in each:
            dependents[needed].append(position)
    ready = [position for position, count in enumerate(missing) if count == 0]
    heapify(ready)
    order: list[int] = []
    while ready:
        position = heappop(ready)
        order.append(position)
        for dependent in dependents[position]:
            missing[dependent] -= 1
            if missing[dependent] == 0:
                heappush(ready, dependent)
    return tuple(order), _cycles(needs, {position for position, count in enumerate(missing) if count})


def _cycles(needs: Sequence[Sequence[int]], rest: set[int]) -> tuple[tuple[int, ...], ...]:
    """Each of the rest needs at least one of the rest, so following the first of them ends in a cycle."""
    cycles: list[tuple[int, ...]] = []
    seen: set[int] = set()
    for start in sorted(rest):
        path: dict[int, None] = {}
        position = start
        while position not in seen and position not in path:
            path[position] = None
            position = next(needed for needed in needs[position] if needed in rest)
        if position in path:
            walked = list(path)
            cycles.append(tuple(walked[walked.index(position) :]))
        seen.update(path)
    return tuple(cycles)
