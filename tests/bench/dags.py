"""Random job streams of fifty jobs that sleep; pure, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

JOBS = 50
SHORTEST_MS, LONGEST_MS = 500, 1500
LAYER_WIDTHS = (3, 10)
MOST_PARENTS = 3

Needs = list[tuple[int, ...]]  # prerequisites by position, each smaller than the position


@dataclass(frozen=True)
class Dag:
    """Jobs by position; prerequisites come first."""

    shape: str
    sleeps_ms: tuple[int, ...]
    needs: tuple[tuple[int, ...], ...]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(job, its prerequisite) for each dependency."""
        return [(job, need) for job, needs in enumerate(self.needs) for need in needs]

    @cached_property
    def critical_path_s(self) -> float:
        """The longest sum of sleeps along dependencies: no number of slots makes it shorter."""
        ends: list[int] = []
        for sleep, needs in zip(self.sleeps_ms, self.needs, strict=True):
            ends.append(sleep + max((ends[need] for need in needs), default=0))
        return max(ends) / 1000

    def levels(self) -> list[list[int]]:
        """Positions by the longest way from a start, as somebody draws them who works level by level."""
        depth: list[int] = []
        for needs in self.needs:
            depth.append(1 + max((depth[need] for need in needs), default=-1))
        return [[job for job, at in enumerate(depth) if at == level] for level in range(max(depth) + 1)]


def dag(seed: int) -> Dag:
    """One of four shapes in turn."""
    chance = random.Random(seed)
    shape, draw = SHAPES[seed % len(SHAPES)]
    needs = draw(chance)
    return Dag(shape, tuple(chance.randint(SHORTEST_MS, LONGEST_MS) for _ in needs), tuple(needs))


def _nested(chance: random.Random) -> Needs:
    """Series and parallel parts in each other: the one shape here that is series-parallel."""
    needs: Needs = []

    def put(count: int, entries: tuple[int, ...], parallel: bool) -> tuple[int, ...]:
        """Append so many jobs behind `entries`; what comes after them needs the positions returned."""
        if count == 1:
            needs.append(entries)
            return (len(needs) - 1,)
        first = chance.randint(1, count - 1)
        if not parallel:
            return put(count - first, put(first, entries, True), True)
        return put(first, entries, False) + put(count - first, entries, False)

    put(JOBS, (), False)
    return needs


def _layered(chance: random.Random) -> Needs:
    """Layers of random width, each job with one to three prerequisites in the layer before."""
    needs: Needs = []
    before: list[int] = []
    while len(needs) < JOBS:
        width = min(chance.randint(*LAYER_WIDTHS), JOBS - len(needs))
        layer = list(range(len(needs), len(needs) + width))
        needs += [_some(chance, before) for _ in layer]
        before = layer
    return needs


def _scattered(chance: random.Random) -> Needs:
    """Each job with up to three prerequisites anywhere before it."""
    return [_some(chance, range(job), least=0) for job in range(JOBS)]


def _crossed(chance: random.Random) -> Needs:
    """Blocks of the N graph (c needs a; d needs a and b) side by side and behind each other."""
    needs: Needs = []
    ends: list[int] = []
    while len(needs) + 4 <= JOBS:
        a = len(needs)
        behind = _some(chance, ends, least=0) if len(ends) > 4 else ()
        needs += [behind, behind, (a,), (a, a + 1)]
        ends += [a + 2, a + 3]
    return needs + [_some(chance, ends) for _ in range(JOBS - len(needs))]


def _some(chance: random.Random, among: list[int] | range, *, least: int = 1) -> tuple[int, ...]:
    most = min(MOST_PARENTS, len(among))
    return tuple(sorted(chance.sample(list(among), chance.randint(min(least, most), most))))


SHAPES: tuple[tuple[str, Callable[[random.Random], Needs]], ...] = (
    ("nested", _nested),
    ("layered", _layered),
    ("scattered", _scattered),
    ("crossed", _crossed),
)
