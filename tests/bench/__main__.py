"""`make bench`, which is `python -m tests.bench`: measure, print a table, and JSON if asked."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from types import FrameType

from scheduler_bridge.errors import BridgeError
from tests.bench.figures import Figures, lines, summary
from tests.bench.fleet import fleet
from tests.bench.scenarios import ALONE, ON_FLEET
from tests.bench.workshop import Workshop, workshop

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
    except BridgeError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(figures), flush=True)
    return 0


def measure(wanted: set[str], runs: int) -> Figures:
    """Run the scenarios, each printed as soon as it has ended; all their figures."""
    figures: Figures = {}
    began = time.monotonic()
    with workshop() as shop:
        figures.update(shop.facts(), runs=runs)
        print(", ".join(f"{key} {value}" for key, value in figures.items()), flush=True)
        for name in [name for name in ALONE if name in wanted]:
            _keep(figures, name, ALONE[name](shop, runs))
        for slots in ON_FLEET:
            _on_fleet(shop, slots, wanted, figures)
    sizes = [figures[key] for key in LARGEST if key in figures]
    if sizes:
        figures["message_bytes_max"] = max(sizes)
    figures["seconds"] = round(time.monotonic() - began)
    print(*summary(figures), sep="\n", flush=True)
    return figures


def _on_fleet(shop: Workshop, slots: int, wanted: set[str], figures: Figures) -> None:
    chosen = {name: scenario for name, scenario in ON_FLEET[slots].items() if name in wanted}
    if not chosen:
        return
    with fleet(shop, slots) as running:
        for name, scenario in chosen.items():
            _keep(figures, name, scenario(running, int(figures["runs"])))
        for said in running.restarts():
            print(f"!! {said}", flush=True)


def _keep(figures: Figures, name: str, found: Figures) -> None:
    figures.update(found)
    print(*lines(name, found), sep="\n", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
