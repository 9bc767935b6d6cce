"""One host's agents: what a run_job task does, from claim to the next hints."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind, explain
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.store.port import JobStore
from tasks.leases import Leases
from workers.agent import Agent
from workers.command_line import command_line
from workers.pool import AgentPool, RespawnExhausted
from workers.process import SpawnError
from workers.session import Session
from workers.timing import Timers

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

HEARTBEAT_SECONDS = 10.0  # a host counts as healthy for 30
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0


class NotHere(Exception):
    """This host does not have the agent type; its configuration has changed since the job was proposed."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the agents of this host are started with, besides this process' environment."""

    agent_types: Mapping[str, AgentType]
    configuration_folder: Path
    timers: Timers


class AgentHost:
    """Runs jobs on one host; one object a worker process, shared by its threads."""

    def __init__(
        self,
        host: Host,
        worker: str,
        store: JobStore,
        proposals: Proposals,
        surroundings: Surroundings,
        leases: Leases,
    ) -> None:
        self.host = host
        self.worker = worker  # owner of the claims
        self._store = store
        self._proposals = proposals
        self._surroundings = surroundings
        self._leases = leases
        self._agents = AgentPool(host.slots, grace_seconds=surroundings.timers.grace_seconds)
        self._reported_at = float("-inf")

    def run(self, job: int, following: int | None) -> str:
        """Claim the job, run it, write how it ended, publish what became possible; what happened, for the log.

        `following` is the job whose hint Celery sends by itself when this one ends: the next link of the chain.
        """
        asked_at = time.monotonic()
        work = self._store.claim(job, self.worker, self.host.name)
        if isinstance(work, Obstacle):
            return self._refused(job, work)
        try:
            agent = self._acquire(work)
        except (NotHere, RespawnExhausted) as error:
            return self._return(work, error)
        except SpawnError as error:
            return self._end(
                work, Outcome(Ending.FAILED, reason=str(error)), f"{error}\n".encode(), following
            )
        try:
            outcome, tail = self._converse(agent, work, asked_at)
            return self._end(work, outcome, tail, following)
        finally:
            self._leases.remove(work)
            self._agents.release(agent, time.monotonic())

    def tend(self, now: float) -> None:
        """Once a second: renew leases, retire idle agents, report this host as healthy."""
        self._leases.renew(now)
        self._agents.retire(now)
        if now - self._reported_at >= HEARTBEAT_SECONDS:
            self.report(now)

    def report(self, now: float) -> None:
        """Tell the database that this host is up and what it can run."""
        self._store.register_host(self.host, self.worker, sorted(self._surroundings.agent_types))
        self._reported_at = now

    def stop(self, grace_seconds: float) -> None:
        """Stop running agents in order; their jobs go back to the queue at once. Then report this host as gone."""
        self._leases.stop_sessions()
        if not self._leases.wait_until_empty(grace_seconds):
            log.error("some agents did not end in time", extra={"action": "stop_late"})
        self._agents.close(grace_seconds)
        self._store.retire_host(self.host.name, self.worker)

    def _acquire(self, work: Work) -> Agent:
        agent_type = self._surroundings.agent_types.get(work.agent_type)
        if agent_type is None:
            raise NotHere(f"{work.agent_type} is not configured on {self.host.name}")
        command = command_line(agent_type, work, self._surroundings.configuration_folder)
        return self._agents.acquire(agent_type, command, nice=nice_of(work.priority))

    def _converse(self, agent: Agent, work: Work, asked_at: float) -> tuple[Outcome, bytes]:
        session = Session(
            agent, work, timers=self._surroundings.timers, started=lambda pid: self._started(work, pid)
        )
        self._leases.add(work, session, asked_at)
        return session.run(), session.output()

    def _end(self, work: Work, outcome: Outcome, tail: bytes, following: int | None) -> str:
        """Write the outcome, then, after its commit, publish what it made possible."""
        written = _persistently(lambda: self._store.finish(work, outcome, tail))
        self._leases.remove(work)
        if written:
            startable = _persistently(lambda: self._store.startable(work, following))
            self._proposals.publish(startable.freed)
            self._proposals.refill(startable.refill)
        return _report(work, outcome, written)

    def _return(self, work: Work, error: Exception) -> str:
        obstacle = Obstacle(ObstacleKind.RESPAWN, work.agent_type)
        if isinstance(error, NotHere):
            obstacle = Obstacle(ObstacleKind.NO_HOST, work.agent_type)
        outcome = Outcome(Ending.RETURNED, reason=str(error))
        return _report(
            work, outcome, _persistently(lambda: self._store.finish(work, outcome, obstacle=obstacle))
        )

    def _started(self, work: Work, pid: int) -> bool:
        return _persistently(lambda: self._store.started(work, pid))

    def _refused(self, job: int, obstacle: Obstacle) -> str:
        sentence = explain(obstacle)
        log.info(
            "job %d not started: %s",
            job,
            sentence,
            extra={"action": "refused", "job": job, "kind": obstacle.kind.value},
        )
        return sentence


def nice_of(priority: int) -> int:
    """Nice value of an agent, 0 to 19: a job of lower priority gets less of the processor. Raising needs root."""
    return min(max(-priority, 0), 19)


def _persistently(verb: Callable[[], Answer]) -> Answer:
    """Repeat until the database answers. Its verbs are safe to repeat: the epoch refuses what is out of date."""
    wait = FIRST_RETRY_SECONDS
    while True:
        try:
            return verb()
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("the database cannot be reached: %s", error, extra={"action": "database_away"})
            threading.Event().wait(wait)
            wait = min(2 * wait, LONGEST_RETRY_SECONDS)


def _report(work: Work, outcome: Outcome, written: bool) -> str:
    ending = outcome.ending if written else Ending.LOST
    level = logging.INFO if ending is Ending.COMPLETED else logging.WARNING
    facts = {"action": f"job_{ending.value}", "job": work.job, "stream": work.stream, "epoch": work.epoch}
    log.log(level, "job %d (%s): %s %s", work.job, work.agent_type, ending.value, outcome.reason, extra=facts)
    return f"{ending.value} {outcome.reason}".strip()
