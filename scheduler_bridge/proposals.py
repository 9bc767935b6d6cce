"""Lines that the store has marked as proposed go out, or wait again."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.errors import PublishError
from scheduler_bridge.plan.fragments import Fragment, assemble
from scheduler_bridge.store.port import JobStore, Line

log = logging.getLogger(__name__)


class Proposals:
    """Publishes what may start; shared by bridge, workers and sweep."""

    def __init__(self, store: JobStore, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher

    def publish(self, lines: Sequence[Line]) -> None:
        """Publish lines that the store has marked for this caller, those of one stream together."""
        by_stream: dict[int, list[tuple[int, ...]]] = {}
        for line in lines:
            by_stream.setdefault(line[0].stream, []).append(tuple(job.job for job in line))
        self._publish(
            lines, [part for stream, found in by_stream.items() for part in assemble(found, stream)]
        )

    def top_up(self, streams: Sequence[int] | None = None) -> None:
        """Publish what can start now in these streams, or in all, as far as their windows have room."""
        self.publish(self._store.top_up(streams))

    def refill(self, lines: Sequence[Line]) -> None:
        """Publish lines each for itself: those that only fill a window have nothing to be looked at together for."""
        self._publish(
            lines, [part for line in lines for part in assemble([tuple(job.job for job in line)], 0)]
        )

    def _publish(self, lines: Sequence[Line], fragments: Sequence[Fragment]) -> None:
        """A broker that is away costs no more than a sweep."""
        jobs = {job.job: job for line in lines for job in line}
        if not jobs:
            return
        try:
            self._publisher.publish(fragments, jobs)
        except PublishError as error:
            log.warning(
                "%s; %d jobs wait for the sweep", error, len(jobs), extra={"action": "publish_failed"}
            )
            self._store.unpropose(list(jobs))
