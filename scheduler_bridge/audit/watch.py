"""The regular audit of housekeeping: its turn, its warnings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import psycopg

from scheduler_bridge.audit.auditor import audit, keep, kept, remember
from scheduler_bridge.audit.checks import Thresholds
from scheduler_bridge.audit.report import finding_line

log = logging.getLogger(__name__)


class Watch:
    """Audits when asked, unless somebody has within the interval, and not before the sweep has had its time.

    After an outage much is old that nobody could repair meanwhile. So nothing is asked for as long as the auditor lets
    things be, counted from the start of the process and from each time its database was away.
    """

    def __init__(self, *, interval_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._undisturbed_since = clock()

    def disturbed(self) -> None:
        """The database was away just now."""
        self._undisturbed_since = self._clock()

    def audit(self, connection: psycopg.Connection[Any]) -> str:
        """Audit, keep the result and log each finding; what happened, for the log. Raises psycopg.Error."""
        if self._clock() - self._undisturbed_since < Thresholds().grace:
            return "no audit yet: the first sweeps have not had their time"
        last = kept(connection)
        if last and (last.read_at - last.at).total_seconds() < self._interval_seconds:
            return "another audit has just been"
        found = audit(connection)
        remember(connection, found)
        keep(connection, found)
        for finding in found.findings:
            facts = {"action": "audit", "finding": finding.name, "ids": list(finding.ids)}
            log.warning("audit: %s", finding_line(finding), extra=facts)
        return f"{len(found.findings)} findings"
