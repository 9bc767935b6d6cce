"""One host's agents: what a run_job task does, from claim to the next hints."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind, explain
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.store.port import JobStore
from tasks.leases import Leases
from tasks.under_way import AWAY, UnderWay, log_away
from workers.agent import Agent
from workers.command_line import command_line, nice_of
from workers.pool import AgentPool, RespawnExhausted
from workers.process import SpawnError
from workers.session import Session
from workers.timing import Timers

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0  # a host counts as healthy for 30
UNHEARD_SECONDS = 1.0  # for each last thing that a stopping worker waits for


class NotHere(Exception):
    """This host does not have the agent type; its configuration has changed since the job was proposed."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a message says."""

    job: int
    following: int | None  # whose hint Celery sends by itself when this one ends: the next link of the chain
    agent_type: str | None  # None: the message does not say
    used_for: Callable[[Work], object]  # told when a more urgent job is run in its place


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the agents of this host are started with."""

    agent_types: Mapping[str, AgentType]
    configuration_folder: Path
    timers: Timers
    environment: Mapping[str, str] | None = None  # None: this process' own


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
        self._reported_types: list[str] = []
        self._under_way = UnderWay()

    def run(self, hint: Hint) -> str:
        """Claim the job, run it, write how it ended, publish what became possible; what happened, for the log.

        A database that is away is part of what may happen: the sweep repeats the hint.
        """
        with self._under_way:
            try:
                if hint.agent_type and (seconds := self._agents.seconds_until_start(hint.agent_type)):
                    return self._not_now(hint.job, RespawnExhausted(hint.agent_type, seconds))
                return self._run(hint)
            except AWAY as error:
                return log_away(error, f"job {hint.job}: ")

    def _run(self, hint: Hint) -> str:
        asked_at = time.monotonic()
        work = self._store.claim(hint.job, self.worker, self.host.name)
        if isinstance(work, Obstacle):
            return self._refused(hint.job, work)
        if work.job != hint.job:
            hint.used_for(work)
        following = hint.following if work.job == hint.job else None
        try:
            agent = self._acquire(work)
        except (NotHere, RespawnExhausted) as error:
            return self._return(work, error, following)
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
        if now - self._reported_at >= HEARTBEAT_SECONDS or self._reported_types != self._startable_types():
            self.report(now)

    def report(self, now: float) -> None:
        """Tell the database that this host is up and what it can run now."""
        types = self._startable_types()
        reported = self._store.register_host(self.host, self.worker, types)
        self._reported_types = types
        self._reported_at = now
        if reported.freed:
            self._proposals.publish(self._store.top_up())

    def take_over(self, dead: Callable[[Sequence[str]], Sequence[str]]) -> None:
        """Free at once the jobs of workers of this host that `dead` finds to be dead; their agents must be gone."""
        owners = dead(self._store.owners_on(self.host.name))
        for job in self._store.reclaim(owners) if owners else ():
            log.warning("job %d: its worker has died", job, extra={"action": "reclaimed", "job": job})
            self._proposals.publish(self._store.top_up())

    def stop(self, grace_seconds: float) -> bool:
        """Stop running agents in order; their jobs go back to the queue at once. Then report this host as gone.

        False: some tasks still wait for the database, `UNHEARD_SECONDS` or three after the grace. Their agents have
        been killed, and their jobs become free when their leases expire.
        """
        deadline = time.monotonic() + grace_seconds
        self._leases.stop_sessions()
        in_time = self._under_way.wait_until_none(grace_seconds)
        self._under_way.give_up()
        if not in_time:
            log.error("some jobs could not be given back in time", extra={"action": "stop_late"})
            self._agents.kill_working()
        self._agents.close(max(UNHEARD_SECONDS, deadline - time.monotonic()))
        farewell = threading.Thread(target=self._retire_host, name="farewell", daemon=True)
        farewell.start()
        farewell.join(UNHEARD_SECONDS)
        return self._under_way.wait_until_none(UNHEARD_SECONDS)

    def _retire_host(self) -> None:
        try:
            self._store.retire_host(self.host.name, self.worker)
        except AWAY as error:
            log_away(error, "this host could not be reported as gone: ")

    def _startable_types(self) -> list[str]:
        names = sorted(self._surroundings.agent_types)
        return [name for name in names if not self._agents.seconds_until_start(name)]

    def _acquire(self, work: Work) -> Agent:
        agent_type = self._surroundings.agent_types.get(work.agent_type)
        if agent_type is None:
            raise NotHere(f"{work.agent_type} is not configured on {self.host.name}")
        command = command_line(agent_type, work, self._surroundings.configuration_folder)
        return self._agents.acquire(
            agent_type, command, environment=self._surroundings.environment, nice=nice_of(work.priority)
        )

    def _converse(self, agent: Agent, work: Work, asked_at: float) -> tuple[Outcome, bytes]:
        session = Session(
            agent, work, timers=self._surroundings.timers, started=lambda pid: self._started(work, pid)
        )
        self._leases.add(work, session, asked_at)
        return session.run(), session.output()

    def _end(
        self,
        work: Work,
        outcome: Outcome,
        tail: bytes,
        following: int | None,
        obstacle: Obstacle | None = None,
    ) -> str:
        """Write the outcome, then, after its commit, publish what it made possible."""
        written = self._under_way.persistently(lambda: self._store.finish(work, outcome, tail, obstacle))
        self._leases.remove(work)
        if written:
            startable = self._under_way.persistently(lambda: self._store.startable(work, following))
            self._proposals.publish(startable.freed)
            self._proposals.refill(startable.refill)
        return _report(work, outcome, written)

    def _return(self, work: Work, error: Exception, following: int | None) -> str:
        kind = ObstacleKind.NO_HOST if isinstance(error, NotHere) else ObstacleKind.RESPAWN
        outcome = Outcome(Ending.RETURNED, reason=str(error))
        return self._end(work, outcome, b"", following, Obstacle(kind, work.agent_type))

    def _started(self, work: Work, pid: int) -> bool:
        return self._under_way.persistently(lambda: self._store.started(work, pid)) and self._leases.trusts(
            work
        )

    def _not_now(self, job: int, error: RespawnExhausted) -> str:
        """Leave a hint to other hosts, and to the sweep; the row is not touched: elsewhere the job may start."""
        facts = {"action": "refused", "job": job, "kind": ObstacleKind.RESPAWN.value}
        log.info("job %d not started: %s", job, error, extra=facts)
        return str(error)

    def _refused(self, job: int, obstacle: Obstacle) -> str:
        sentence = explain(obstacle)
        log.info(
            "job %d not started: %s",
            job,
            sentence,
            extra={"action": "refused", "job": job, "kind": obstacle.kind.value},
        )
        return sentence


def _report(work: Work, outcome: Outcome, written: bool) -> str:
    ending = outcome.ending if written else Ending.LOST
    level = logging.INFO if ending is Ending.COMPLETED else logging.WARNING
    facts = {"action": f"job_{ending.value}", "job": work.job, "stream": work.stream, "epoch": work.epoch}
    log.log(level, "job %d (%s): %s %s", work.job, work.agent_type, ending.value, outcome.reason, extra=facts)
    return f"{ending.value} {outcome.reason}".strip()
