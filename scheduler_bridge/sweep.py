"""The sweep: makes certain what events make fast.

Beat asks for it every few seconds; whoever asks too early is sent away by the row, so two beats are harmless. When no
sweep has run for two intervals, a bridge sweeps by itself.
"""

from __future__ import annotations

import logging

from scheduler_bridge.bridge import Bridge
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.store.port import JobStore

log = logging.getLogger(__name__)

OVERDUE_INTERVALS = 4  # sweep_turn passes after half an interval: four halves are two intervals


class Sweep:
    """One pass over what no event told."""

    def __init__(
        self, store: JobStore, bridge: Bridge, proposals: Proposals, *, interval_seconds: float
    ) -> None:
        self._store = store
        self._bridge = bridge
        self._proposals = proposals
        self._interval_seconds = interval_seconds

    def run(self) -> bool:
        """Sweep unless one has run less than half an interval ago; whether it did."""
        return self._run(self._interval_seconds)

    def run_if_overdue(self) -> bool:
        """Sweep if none has run for two intervals; whether it did."""
        return self._run(self._interval_seconds * OVERDUE_INTERVALS)

    def _run(self, turn_seconds: float) -> bool:
        if not self._store.sweep_turn(turn_seconds, self._interval_seconds):
            return False
        every_seconds = max(self._interval_seconds, turn_seconds / 2)
        for job in self._store.sweep(self._interval_seconds, every_seconds):
            log.warning(
                "job %d: its lease expired, it is free again", job, extra={"action": "reclaimed", "job": job}
            )
        self._bridge.tick()
        self._proposals.top_up()
        return True
