"""What a soak prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

from tests.soak.samples import QUANTITIES, Key, Look
from tests.soak.trend import Point, Trend, judge

Series: TypeAlias = dict[Key, list[Point]]
Trends: TypeAlias = Mapping[Key, Trend]

HEAD = f"{'':14}{'':16}{'first':>10}{'last':>10}{'max':>10}{'per hour':>12}{'+-':>9}"
TOO_SHORT = "too short a time to judge growth"


def write_look(file: IO[str], at: float, seen: Look) -> None:
    """One line; `at` in seconds since the start."""
    file.write(json.dumps([at, [[*key, value] for key, value in seen.items()]]) + "\n")


def read_series(path: Path) -> Series:
    """What `write_look` has written."""
    series: Series = {}
    with path.open() as file:
        for at, seen in map(json.loads, file):
            for who, quantity, value in seen:
                series.setdefault((who, quantity), []).append((at, value))
    return series


def trends(series: Series) -> Trends:
    """Every series judged by its quantity's floor, in the order of their names."""
    return {key: judge(series[key], QUANTITIES[key[1]].floor) for key in sorted(series)}


def table(judged: Trends) -> list[str]:
    """A line a series."""
    return [HEAD, *(_line(key, trend) for key, trend in judged.items())]


def summary(facts: Mapping[str, Any], judged: Trends) -> list[str]:
    """What ran, then the names of what grows."""
    said = [f"{facts['jobs']} jobs in {facts['minutes']:g} minutes, load before {facts['load_before']}"]
    said += [f"!! {line}" for line in facts["restarts"]]
    grows = [" ".join(key) for key, trend in judged.items() if trend.grows]
    if any(trend.per_hour is None for trend in judged.values()):
        said.append(TOO_SHORT)
    return [*said, f"grows: {', '.join(grows) or 'nothing'}"]


def _line(key: Key, trend: Trend) -> str:
    who, quantity = key
    unit = QUANTITIES[quantity].unit
    name = f"{who:14}{quantity + (f', {unit}' if unit else ''):16}"
    numbers = "".join(f"{value:>10.1f}" for value in (trend.first, trend.last, trend.highest))
    if trend.per_hour is None:
        return f"{name}{numbers}{'?':>12}"
    verdict = "  GROWS" if trend.grows else ""
    return f"{name}{numbers}{trend.per_hour:>12.2f}{trend.error_per_hour:>9.2f}{verdict}"
