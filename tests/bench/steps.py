"""Where a job's milliseconds go: a host's own code over a chain, without a Celery worker around it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from scheduler_bridge.embedded import services
from scheduler_bridge.launch import launcher
from scheduler_bridge.up import part_environment, prepare_database
from tests.bench.figures import Figures
from tests.bench.waiting import BenchError
from tests.bench.workshop import PROJECT, Workshop

MODULE = "tests.bench.one_host"
LONGEST_SECONDS = 300


def steps(shop: Workshop, runs: int) -> Figures:
    """Mean milliseconds a job of each step, in the run whose sum is the median."""
    with services(shop.new_folder("steps"), {}) as servers:
        prepare_database(servers)
        child = subprocess.run(
            launcher([sys.executable, "-m", MODULE, str(runs)], death_signal=signal.SIGKILL),
            env=part_environment(shop.environment(), servers, shop.configuration, 0),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    if child.returncode:
        raise BenchError(f"{MODULE} failed:\n{child.stderr}")
    found: list[dict[str, float]] = json.loads(child.stdout)
    middle = sorted(found, key=lambda laps: sum(laps.values()))[len(found) // 2]
    return {"step_ms": middle, "step_sum_ms": round(sum(middle.values()), 2)}
