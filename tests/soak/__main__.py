"""`make soak`, which is `python -m tests.soak`: a steady load on every part, and what has grown in the end."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scheduler_bridge.procfile import find_procfile, read_procfile
from tests.bench.fleet import READY_SECONDS, Fleet, ready, running
from tests.bench.waiting import BenchError
from tests.bench.workshop import workshop
from tests.soak.load import Load, add_agents
from tests.soak.report import Series, Trends, read_series, summary, table, trends, write_look
from tests.soak.samples import look

MINUTES = 15.0
SECONDS_A_SAMPLE = 2.0
STEP_SECONDS = 0.1
DRAIN_SECONDS = 120.0
SLOTS = 10
INTERRUPTED = 130  # exit status, as a shell has it for SIGINT
# Flower remembers as many tasks as it is told: 10,000 by default, 50 MB. A soak must reach that end in its warm-up.
VARIABLES = {"SCHEDULER_BRIDGE_SLOTS": str(SLOTS), "FLOWER_MAX_TASKS": "300"}

OPEN = b"select count(*) from jobqueue where jq_endtime is null"


def main() -> int:
    """Exit status: 0 when nothing grows and no part has ended by itself; 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="tests.soak", description="Steady load, and whether anything grows."
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of load (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the streams (%(default)s)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on one line")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        facts, series = soak(options.minutes, options.seed)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BenchError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    judged = trends(series)
    print(*table(judged), "", *summary(facts, judged), sep="\n", flush=True)
    if options.json:
        print(json.dumps(as_json(facts, judged)), flush=True)
    return 1 if facts["restarts"] or any(trend.grows for trend in judged.values()) else 0


def soak(minutes: float, seed: int) -> tuple[dict[str, Any], Series]:
    """The load for so long on a fresh fleet: facts about it, and every sample. BenchError if it does not end."""
    with workshop() as shop:
        facts: dict[str, Any] = {**shop.facts(), "minutes": minutes, "seed": seed}
        add_agents(shop.configuration)
        with running(shop, read_procfile(find_procfile()), VARIABLES) as fleet:
            fleet.wait(lambda: ready(fleet), seconds=READY_SECONDS, what="the fleet")
            load = Load(fleet, seed)
            samples = shop.folder / "samples"
            _watch(fleet, load, minutes * 60, samples)
            load.give_last_orders()
            fleet.wait(lambda: not _open(fleet), seconds=DRAIN_SECONDS, what="the end of all jobs")
            return {**facts, "jobs": load.jobs, "restarts": fleet.restarts()}, read_series(samples)


def as_json(facts: Mapping[str, Any], judged: Trends) -> dict[str, Any]:
    """Facts, the slopes per hour of what could be judged, and the names of what grows."""
    slopes: dict[str, dict[str, float]] = {}
    for (who, quantity), trend in judged.items():
        if trend.per_hour is not None:
            slopes.setdefault(who, {})[quantity] = round(trend.per_hour, 3)
    grows = [" ".join(key) for key, trend in judged.items() if trend.grows]
    return {**facts, "grows": grows, "per_hour": slopes}


def _watch(fleet: Fleet, load: Load, seconds: float, samples: Path) -> None:
    """Load the fleet and look at it again and again; what was seen goes to a file, for this process is judged too."""
    began = time.monotonic()
    next_look = 0.0
    with samples.open("w") as file:
        while (now := time.monotonic() - began) < seconds:
            load.tend(now)
            if now >= next_look:
                write_look(file, now, look(fleet))
                next_look = now + SECONDS_A_SAMPLE
            fleet.rest(STEP_SECONDS)


def _open(fleet: Fleet) -> bool:
    return fleet.connection.execute(OPEN).fetchone() != (0,)


if __name__ == "__main__":
    sys.exit(main())
