"""Waiting beside supervised processes: without load, with an end, and open to Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from scheduler_bridge.errors import BridgeError
from scheduler_bridge.supervisor import Supervisor

POLL_SECONDS = 0.05  # one cheap question each: the client must not load the machine
TAIL_CHARACTERS = 1500


class BenchError(BridgeError):
    """What is to be measured did not happen."""


def wait(
    supervisor: Supervisor, until: Callable[[], bool], *, seconds: float, what: str, logs: Path | None = None
) -> None:
    """Wait until it is so. BenchError, with the logs' ends, if too long; KeyboardInterrupt on Ctrl-C."""
    deadline = time.monotonic() + seconds
    supervisor.run(lambda: until() or time.monotonic() > deadline, every_seconds=POLL_SECONDS)
    _heed_interrupt(supervisor)
    if not until():
        raise BenchError(f"{what}: not within {seconds:.0f} s\n{_last_lines(logs)}")


def rest(supervisor: Supervisor, seconds: float) -> None:
    """Do nothing at all for so long. KeyboardInterrupt on Ctrl-C."""
    deadline = time.monotonic() + seconds
    supervisor.run(lambda: time.monotonic() >= deadline, every_seconds=seconds)
    _heed_interrupt(supervisor)


def _heed_interrupt(supervisor: Supervisor) -> None:
    if supervisor.interrupted:
        raise KeyboardInterrupt


def _last_lines(folder: Path | None) -> str:
    logs = sorted(folder.glob("*.log")) if folder else []
    tails = [(log.stem, log.read_text("utf-8", "replace")[-TAIL_CHARACTERS:]) for log in logs]
    return "\n".join(f"--- {name}\n{tail}" for name, tail in tails)
