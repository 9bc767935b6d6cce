"""What beat asks for, and when: by a clock that only goes forward.

Celery compares the last time with the wall clock: set back by an hour, it would ask for nothing for an hour.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import schedule

from scheduler_bridge.dispatch.routes import AUDIT, HOUSEKEEPING, SWEEP

AUDIT_SECONDS = 300.0  # between two audits, by the rows
# Beat counts from its own start, housekeeping waits after its own: where they begin anew again and again, audits come
# all the same.
ASK_FOR_AUDIT_SECONDS = 60.0
_BEGAN_AT = datetime.fromtimestamp(time.time(), UTC)
_BEGAN = time.monotonic()


def steady_now() -> datetime:
    """The time at this process' start, and how long that is ago."""
    return _BEGAN_AT + timedelta(seconds=time.monotonic() - _BEGAN)


def agenda(sweep_seconds: float) -> dict[str, Any]:
    """Beat's schedule."""
    return {"sweep": _every(sweep_seconds, SWEEP), "audit": _every(ASK_FOR_AUDIT_SECONDS, AUDIT)}


def _every(seconds: float, task: str) -> dict[str, Any]:
    """No message expires, since two machines' clocks would decide that: the rows turn away who comes too often."""
    options = {"queue": HOUSEKEEPING, "ignore_result": True, "shadow": task.rpartition(".")[2]}
    return {"task": task, "schedule": schedule(seconds, nowfun=steady_now), "options": options}
