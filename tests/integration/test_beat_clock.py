"""Beat goes on asking for sweeps whatever the wall clock of its machine does."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scheduler_bridge.dispatch.routes import HOUSEKEEPING
from tests.integration.fleet import until
from tests.process_nodes import PROJECT

Start = Callable[..., Any]
CLOCK = PROJECT / "tests" / "chaos" / "clock"
BEAT = ["celery", "-A", "tasks", "beat"]
SWEPT = "select swept_at from scheduler_bridge.progress where swept_at > %s"


@pytest.mark.parametrize("seconds", [-86_400.0, 86_400.0], ids=["back", "forward"])
def test_sweeps_go_on_when_the_clock_of_beat_is_set(
    start_process: Start,
    start_worker: Start,
    connection: psycopg.Connection[Any],
    tmp_path: Path,
    seconds: float,
) -> None:
    off = tmp_path / "off"
    off.write_bytes(struct.pack("d", 0.0))
    variables = {"SCHEDULER_BRIDGE_SWEEP_SECONDS": "0.5"}
    start_worker("h1", queues=HOUSEKEEPING, **variables)
    clock = {"PYTHONPATH": str(CLOCK), "CHAOS_CLOCK": str(off)}
    start_process("beat", BEAT, ready_text="maxinterval", **variables, **clock)

    def swept_after(moment: Any) -> Any:
        return until(lambda: connection.execute(SWEPT, [moment]).fetchone(), "a sweep", 10)[0]

    before = swept_after("-infinity")
    off.write_bytes(struct.pack("d", seconds))
    for _ in range(3):
        before = swept_after(before)
