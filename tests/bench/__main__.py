"""`make bench`, which is `python -m tests.bench`: measure, print a table, and JSON if asked."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import psycopg
import redis

from scheduler_bridge.errors import BridgeError
from tests.bench.figures import Figures, lines, summary
from tests.bench.fleet import Fleet, fleet
from tests.bench.scenarios import ALONE, ON_FLEET, OnFleet
from tests.bench.workshop import workshop

RUNS = 5
LARGEST = ("message_bytes_max_small", "message_bytes_max_100k")
INTERRUPTED = 130  # exit status, as a shell has it for SIGINT


def main() -> int:
    """Exit status: 0 when everything that was asked for has been measured, whatever the figures say."""
    names = [*ALONE, *(name for scenarios in ON_FLEET.values() for name in scenarios)]
    parser = argparse.ArgumentParser(prog="tests.bench", description="How fast, how even, how idle.")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on one line")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--runs", type=int, default=RUNS, help="of which the median counts (%(default)s)")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        figures = measure(set(options.only or names), max(1, options.runs))
    except KeyboardInterrupt:
        return INTERRUPTED
    if options.json:
        print(json.dumps(figures), flush=True)
    return 1 if "failed" in figures else 0


def measure(wanted: set[str], runs: int) -> Figures:
    """Run the scenarios, each printed as soon as it has ended; all their figures."""
    figures: Figures = {}
    began = time.monotonic()
    with workshop() as shop:
        figures.update(shop.facts(), runs=runs)
        print(", ".join(f"{key} {value}" for key, value in figures.items()), flush=True)
        for name, alone in ALONE.items():
            if name in wanted:
                with _noting_failure(figures, name):
                    _keep(figures, name, alone(shop, runs))
        for slots, scenarios in ON_FLEET.items():
            chosen = {name: scenario for name, scenario in scenarios.items() if name in wanted}
            if chosen:
                with _noting_failure(figures, f"fleet of {slots}"), fleet(shop, slots) as running:
                    _on_fleet(running, chosen, figures)
    sizes = [figures[key] for key in LARGEST if key in figures]
    if sizes:
        figures["message_bytes_max"] = max(sizes)
    figures["seconds"] = round(time.monotonic() - began)
    print(*summary(figures), sep="\n", flush=True)
    return figures


def _on_fleet(running: Fleet, chosen: Mapping[str, OnFleet], figures: Figures) -> None:
    for name, scenario in chosen.items():
        with _noting_failure(figures, name):
            _keep(figures, name, scenario(running, int(figures["runs"])))
    for said in running.restarts():
        print(f"!! {said}", flush=True)


@contextmanager
def _noting_failure(figures: Figures, name: str) -> Iterator[None]:
    """A scenario that fails does not cost the figures of the others."""
    try:
        yield
    except (BridgeError, psycopg.Error, redis.RedisError) as error:
        print(f"!! {name} failed: {error}", flush=True)
        figures.setdefault("failed", []).append(name)


def _keep(figures: Figures, name: str, found: Figures) -> None:
    figures.update(found)
    print(*lines(name, found), sep="\n", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
