"""What a host tells the database about itself, and what it is told in answer."""

from __future__ import annotations

import math
import threading
from collections import deque

from scheduler_bridge.model.agents import Host
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.store.port import JobStore, Reported
from workers.offer import Offer

HEARTBEAT_SECONDS = 10.0  # a host counts as healthy for 30


class Reporting:
    """The keeper reports; any thread hands back jobs."""

    def __init__(self, host: Host, worker: str, store: JobStore, proposals: Proposals, offer: Offer) -> None:
        self._host = host
        self._worker = worker
        self._store = store
        self._proposals = proposals
        self._offer = offer
        self._reporting = threading.Lock()
        self._retired = False
        self._reported_at = -math.inf
        self._reported: tuple[list[str], dict[str, str]] | None = None
        self._handed_back: deque[int] = deque()
        self.told: Reported | None = None  # the last answer
        self.leave_at = math.inf  # when a drained host is to leave, whatever still runs

    def hand_back(self, job: int) -> None:
        """Let a job whose hint came to nothing here be proposed to other hosts, with the next report."""
        self._handed_back.append(job)

    def tend(self, now: float, *, at_once: bool) -> None:
        """Report when that is due, when there is something new, or `at_once`."""
        news = self._reported != (self._offer.open(), self._offer.problems())
        if at_once or news or now - self._reported_at >= HEARTBEAT_SECONDS:
            self.report(now)
        self._give_back()

    def report(self, now: float) -> None:
        """Tell the database that this host is up, what it can run now and what it cannot."""
        with self._reporting:
            if self._retired:
                return
            types, problems = self._offer.open(), self._offer.problems()
            told = self._store.register_host(self._host, self._worker, types, problems)
            self._reported, self._reported_at = (types, problems), now
        self.leave_at = math.inf if told.seconds_left is None else now + told.seconds_left
        self.told = told
        if told.freed:
            self._proposals.top_up()

    def retire(self) -> None:
        """Tell it that this host is gone; no report comes after that."""
        with self._reporting:
            self._retired = True
            self._store.retire_host(self._host.name, self._worker)

    def _give_back(self) -> None:
        """Only after the report: they must not come back to a host that has just been closed for them."""
        jobs = []
        while self._handed_back:
            jobs.append(self._handed_back.popleft())
        if jobs:
            self._store.unpropose(jobs)
            self._proposals.top_up()
