"""`make chaos`, which is `python -m tests.chaos`: random faults on a random load, judged after each trial."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.evidence import Wrong
from tests.chaos.fleet import Fleet, fleet
from tests.chaos.server import ChaosError
from tests.chaos.trial import Result, Trial
from tests.process_nodes import PROJECT

TRIALS = 20
INTERRUPTED = 130  # exit status, as a shell has it for SIGINT


def main() -> int:
    """Exit status: 0 when every trial ended as its model says."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    results: list[Result] = []
    try:
        for result in run(options.seed, options.trials, options.minutes):
            results.append(result)
            _print(result, verbose=options.verbose)
    except KeyboardInterrupt:
        return INTERRUPTED
    facts = summary(results)
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    if options.json:
        print(json.dumps(facts), flush=True)
    return 1 if facts["failed_seeds"] or not results else 0


def run(seed: int, trials: int, minutes: float) -> Iterator[Result]:
    """Trials with consecutive seeds, one after the other, on one fleet; a fresh one after each that fails."""
    until = time.monotonic() + minutes * 60
    seeds = iter(range(seed, seed + trials))
    seed_now = next(seeds, None)
    while seed_now is not None and time.monotonic() < until:
        with _folder() as name, fleet(Path(name)) as started:
            while seed_now is not None and time.monotonic() < until:
                result = play(started, seed_now)
                yield result
                seed_now = next(seeds, None)
                if result.findings:
                    break


def play(started: Fleet, seed: int) -> Result:
    """One trial on a fleet that is ready."""
    return Trial(started, seed).play()


def summary(results: list[Result]) -> dict[str, object]:
    """The figures of all trials."""
    found = [finding.wrong for result in results for finding in result.findings]
    return {
        "trials": len(results),
        "jobs": sum(result.jobs for result in results),
        "faults": sum(result.faults for result in results),
        "orders": sum(result.orders for result in results),
        "lost": found.count(Wrong.LOST),
        "doubled": found.count(Wrong.DOUBLED),
        "out_of_order": found.count(Wrong.ORDER),
        "left_processes": found.count(Wrong.LEFT),
        "audit": found.count(Wrong.AUDIT),
        "disobeyed": found.count(Wrong.DISOBEYED),
        "max_delay_s": round(max((result.delay_seconds for result in results), default=0.0), 1),
        "failed_seeds": [result.seed for result in results if result.findings],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description="Random faults on a random load.")
    parser.add_argument("--trials", type=int, default=TRIALS, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, help="of the first; each next one has the next number")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no trial after so long")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on one line")
    parser.add_argument("--verbose", action="store_true", help="the history of every trial")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    return options


def _folder() -> tempfile.TemporaryDirectory[str]:
    parent = Path(os.environ.get("SCHEDULER_BRIDGE_STATE") or PROJECT / ".scheduler-bridge")
    parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="chaos-", dir=parent)


def _print(result: Result, *, verbose: bool) -> None:
    verdict = "FAILED" if result.findings else "ok"
    print(
        f"seed {result.seed}: {verdict}, {result.jobs} jobs, {result.faults} faults,"
        f" {result.orders} orders, {result.seconds:.1f} s, delay {result.delay_seconds:.1f} s",
        flush=True,
    )
    if verbose or result.findings:
        print("\n".join(f"    {line}" for line in result.history), flush=True)
    for finding in result.findings:
        print(f"  {finding}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ChaosError as error:
        sys.exit(f"chaos: {error}")
