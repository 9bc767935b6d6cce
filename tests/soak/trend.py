"""Whether a quantity grows: least squares, and a rule that a busy machine does not trip.

The rule. The first third of the time, and five minutes at least, is the warm-up: caches fill, pools open, pages are
touched, and how long that takes does not depend on how long somebody looks. The rest is cut into
twelve equal spans, and the median of each stands for it: samples that follow each other closely are not independent,
medians of spans nearly are, and one that was disturbed does not count. A straight line through the twelve must

- rise by five of its standard errors: chance does that once in some thousand series, and a run judges about a hundred;
- rise, over what was judged, by more than the quantity's floor: what is significant may be too small to matter;
- still rise in the second half, at no less than half the pace: what fills up has an end, a leak has not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WARM_UP = 1 / 3  # of the time
WARM_UP_SECONDS = (
    300.0  # at least: a backend has met all its statements' plans after four minutes of ordinary load
)
SPANS = 12
SAMPLES_A_SPAN = 3
SIGNIFICANT_ERRORS = 5.0
LASTING = 0.5  # of the pace
HOUR_SECONDS = 3600.0

Point = tuple[float, float]  # seconds since the start, value


@dataclass(frozen=True, slots=True)
class Line:
    """A least-squares line."""

    slope: float  # per second
    error: float  # standard error of it


@dataclass(frozen=True, slots=True)
class Trend:
    """What came of one quantity."""

    first: float
    last: float
    highest: float
    per_hour: float | None = None  # after the warm-up; None: too few samples to say
    error_per_hour: float = 0.0  # standard error of it
    grows: bool = False


def judge(points: Sequence[Point], floor: float) -> Trend:
    """The trend of one sample or more; `floor` in the quantity's unit."""
    values = [value for _, value in points]
    ends = values[0], values[-1], max(values)
    spans = _spans(points)
    if spans is None:
        return Trend(*ends)
    whole, late = fit(spans), fit(spans[SPANS // 2 :])
    rise = whole.slope * (spans[-1][0] - spans[0][0])
    return Trend(
        *ends,
        per_hour=whole.slope * HOUR_SECONDS,
        error_per_hour=whole.error * HOUR_SECONDS,
        grows=rise > floor
        and whole.slope > SIGNIFICANT_ERRORS * whole.error
        and late.slope >= LASTING * whole.slope,
    )


def fit(points: Sequence[Point]) -> Line:
    """Least squares through three points or more."""
    times, values = [at for at, _ in points], [value for _, value in points]
    line = statistics.linear_regression(times, values)
    squares = sum((value - line.intercept - line.slope * at) ** 2 for at, value in points)
    middle = statistics.fmean(times)
    spread = sum((at - middle) ** 2 for at in times)
    return Line(line.slope, math.sqrt(squares / (len(points) - 2) / spread))


def _spans(points: Sequence[Point]) -> list[Point] | None:
    """The medians of the spans after the warm-up; None: one of them has too few samples."""
    began, ended = points[0][0], points[-1][0]
    warm = max(began + (ended - began) * WARM_UP, WARM_UP_SECONDS)
    length = (ended - warm) / SPANS
    found = []
    for number in range(SPANS):
        start = warm + number * length
        inside = [(at, value) for at, value in points if start < at <= start + length * (1 + 1e-9)]
        if len(inside) < SAMPLES_A_SPAN:
            return None
        found.append(
            (statistics.fmean(at for at, _ in inside), statistics.median(value for _, value in inside))
        )
    return found
