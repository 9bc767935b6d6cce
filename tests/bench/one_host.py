"""The timed host of `steps`: importing `tasks` reads the environment, so it lives in a process of its own.

Prints a list of objects, one a run: mean milliseconds a job of each step. Each job publishes the next one's
lone hint, as a finish does where no chain carries it: the planner is told of no linear run.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from scheduler_bridge.dispatch.application import BridgeCelery
from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.model.agents import Host
from scheduler_bridge.model.jobs import Job, Outcome, Work
from scheduler_bridge.plan.admission import Obstacle
from scheduler_bridge.plan.fragments import Fragment
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.store.port import PlanRecord, Startable
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.wiring import database_url
from tasks.app import app, configuration, settings
from tasks.host import AgentHost, Hint
from tasks.leases import Leases
from tasks.surroundings import Surroundings
from tests.bench.rows import a_chain, insert, runs_of
from workers.timing import Timers

JOBS = 50
WORKER = "worker@bench"
OWNER = "bench"
STEPS = ("claim", "spawn", "started", "run", "finish", "startable", "publish", "end")


class Laps:
    """Seconds since the last lap, summed by the step that has just ended."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Nothing has passed yet."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._at = time.perf_counter()

    def lap(self, step: str) -> None:
        """What has passed since the last lap was this step."""
        now = time.perf_counter()
        self.seconds[step] += now - self._at
        self._at = now


class TimedStore(PostgresStore):
    """Verbs end steps; what lies between two verbs is a step too."""

    def __init__(self, url: str, laps: Laps) -> None:
        super().__init__(url)
        self._laps = laps

    def claim(self, job: int, worker: str, host: str) -> Work | Obstacle:
        self._laps.lap("end")  # of the agent before
        answer = super().claim(job, worker, host)
        self._laps.lap("claim")
        return answer

    def started(self, work: Work, pid: int) -> bool:
        self._laps.lap("spawn")  # to the first OK
        answer = super().started(work, pid)
        self._laps.lap("started")
        return answer

    def finish(
        self, work: Work, outcome: Outcome, tail: bytes = b"", obstacle: Obstacle | None = None
    ) -> bool:
        self._laps.lap("run")  # from the item to the outcome
        answer = super().finish(work, outcome, tail, obstacle)
        self._laps.lap("finish")
        return answer

    def startable(self, work: Work, following: int | None = None) -> Startable:
        answer = super().startable(work, following)
        self._laps.lap("startable")
        return answer


class TimedPublisher(Publisher):
    """Publishing is a step."""

    def __init__(self, application: BridgeCelery, laps: Laps) -> None:
        super().__init__(application)
        self._laps = laps

    def publish(self, fragments: Sequence[Fragment], jobs: Mapping[int, Job]) -> None:
        super().publish(fragments, jobs)
        self._laps.lap("publish")


def a_run(store: TimedStore, host: AgentHost, laps: Laps) -> dict[str, float]:
    """One chain; mean milliseconds a job of each step."""
    with store.connection() as connection:
        inserted = insert(connection, [0] * JOBS, a_chain(JOBS))
    store.observe()
    store.lease_streams(OWNER)
    store.record_plan(inserted.stream, OWNER, PlanRecord(inserted.jobs, {}, inserted.jobs[:1]))
    laps.restart()
    for job in inserted.jobs:
        host.run(Hint(job, None, None, lambda work: None))
    laps.lap("end")
    with store.connection() as connection:
        runs_of(connection, inserted.stream)  # all of them have completed
    return {step: round(laps.seconds[step] * 1000 / JOBS, 3) for step in STEPS}


def main(runs: int) -> None:
    """Measure after one run that opens connections."""
    assert configuration is not None
    laps = Laps()
    store = TimedStore(database_url(settings), laps)
    store.publish_configuration(configuration.agent_types.values(), configuration.hosts.values())
    host = AgentHost(
        Host(settings.host, settings.slots),
        WORKER,
        store,
        Proposals(store, TimedPublisher(app, laps)),
        Surroundings(configuration.agent_types, configuration.folder, Timers()),
        Leases(store, WORKER, lease_seconds=settings.lease_seconds),
    )
    host.reporting.report(time.monotonic())
    found = [a_run(store, host, laps) for _ in range(1 + runs)]
    store.close()
    print(json.dumps(found[1:]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
