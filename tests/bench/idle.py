"""What a fleet costs that has nothing to do."""

from __future__ import annotations

import time

from tests.bench.figures import Figures
from tests.bench.fleet import Fleet
from tests.bench.processor import between, spent_seconds

SETTLING_SECONDS = 10.0
WATCHED_SECONDS = 30.0


def idle(fleet: Fleet, runs: int) -> Figures:
    """Processor time of every process, the servers and the supervisor included, in percent of one core.

    Watched once: half a minute is a median of its own.
    """
    fleet.rest(SETTLING_SECONDS)
    began, before = time.monotonic(), spent_seconds(fleet)
    fleet.rest(WATCHED_SECONDS)
    percent = between(before, spent_seconds(fleet), (time.monotonic() - began) / 100, 2)
    return {"idle_cpu_percent": round(sum(percent.values()), 2), "idle_cpu_percent_by_process": percent}
