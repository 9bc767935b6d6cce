"""One host's agents: what a run_job task does, from claim to the next hints."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import psycopg

from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind, explain
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.service import log_database_error
from scheduler_bridge.store.port import JobStore
from tasks.alarm import Alarm
from tasks.leases import Leases
from tasks.reporting import Reporting
from tasks.surroundings import Surroundings
from tasks.under_way import UnderWay
from workers.agent import Agent
from workers.command_line import command_line, nice_of
from workers.job_log import JobLog
from workers.offer import Offer
from workers.pool import AgentPool, RespawnExhausted
from workers.process import SpawnError
from workers.session import Session
from workers.startup_test import StartupTest
from workers.startup_tests import StartupTests, processors
from workers.timing import Timers
from workers.versions import Versions

log = logging.getLogger(__name__)

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
        self.leases = leases
        self._hasty = False  # no more grace for anybody
        self._agents = AgentPool(host.slots, grace_seconds=surroundings.timers.grace_seconds)
        self._under_way = UnderWay()
        self._versions = Versions()
        self.alarm = Alarm()  # for the keeper
        tests = StartupTests(
            self._test_of if surroundings.startup_tests else None,
            at_once=processors(),
            ended=self.alarm.ring,
            passed=self._versions.adopt,
        )
        self.offer = Offer(host, tests, self._agents.seconds_until_start)
        self.offer.configure(surroundings.agent_types)
        self.reporting = Reporting(host, worker, store, proposals, self.offer)

    @property
    def idle(self) -> bool:
        """No job runs."""
        return self._under_way.wait_until_none(0)

    def configure(self, agent_types: Mapping[str, AgentType], timers: Timers) -> None:
        """The configuration has been read again; what runs is left as it is."""
        self._surroundings = replace(self._surroundings, agent_types=agent_types, timers=timers)
        self._versions.forget()
        self.offer.configure(agent_types)
        self.alarm.ring()

    def run(self, hint: Hint) -> str:
        """Claim the job, run it, write how it ended, publish what became possible; what happened, for the log.

        A database that is away is part of what may happen: the sweep repeats the hint.
        """
        with self._under_way:
            try:
                if hint.agent_type and (why := self._why_not(hint.agent_type)):
                    return self._hand_back(hint.job, why)
                return self._run(hint)
            except psycopg.OperationalError as error:
                return log_database_error(error, f"job {hint.job}: ")

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
            if error.passes:
                return self._end(work, Outcome(Ending.RETURNED, reason=str(error)), b"", following)
            if log := self._surroundings.log_of(work, 0):
                log.note(str(error))
                log.close()
                self._tell_of(log, work)
            failed = Outcome(Ending.FAILED, reason=str(error))
            return self._end(work, failed, f"{error}\n".encode(), following)
        try:
            outcome, tail = self._converse(agent, work, asked_at)
            return self._end(work, outcome, tail, following)
        finally:
            self.leases.remove(work)
            self._agents.release(agent, time.monotonic())

    def tend(self, now: float, *, orders: bool) -> None:
        """Once a second, or as soon as there may be orders: renew leases, retire idle agents, test, report."""
        self.leases.renew(now, all_of_them=orders)
        self.leases.keep_log_paths()
        self._agents.retire(now)
        self.offer.tend(now)
        self.reporting.tend(now, at_once=orders)

    def take_over(self, dead: Callable[[Sequence[str]], Sequence[str]]) -> None:
        """Free at once the jobs of workers of this host that `dead` finds to be dead; their agents must be gone."""
        owners = dead(self._store.owners_on(self.host.name))
        freed = self._store.reclaim(owners) if owners else []
        for job in freed:
            log.warning("job %d: its worker has died", job, extra={"action": "reclaimed", "job": job})
        if freed:
            self._proposals.top_up()

    def stop(self, grace_seconds: float) -> bool:
        """Stop running agents in order; their jobs go back to the queue at once. Then report this host as gone.

        False: some tasks still wait for the database, `UNHEARD_SECONDS` or three after the grace. Their agents have
        been killed, and their jobs become free when their leases expire.
        """
        deadline = time.monotonic() + grace_seconds
        self.offer.close()
        self.leases.stop_sessions(at_once=self._hasty or not grace_seconds)
        self._await_tasks(max(UNHEARD_SECONDS, grace_seconds))
        left = 0.0 if self._hasty else deadline - time.monotonic()
        self._agents.close(max(UNHEARD_SECONDS, left))
        farewell = threading.Thread(target=self._retire_host, name="farewell", daemon=True)
        farewell.start()
        farewell.join(UNHEARD_SECONDS)
        return self._under_way.wait_until_none(UNHEARD_SECONDS)

    def hasten(self) -> bool:
        """Before or during `stop`, from any thread: end running agents at once; False as there."""
        self._hasty = True
        self.leases.stop_sessions(at_once=True)
        self._await_tasks(UNHEARD_SECONDS)
        return self._under_way.wait_until_none(UNHEARD_SECONDS)

    def _await_tasks(self, seconds: float) -> None:
        in_time = self._under_way.wait_until_none(seconds)
        self._under_way.give_up()
        if not in_time:
            log.error("some jobs could not be given back in time", extra={"action": "stop_late"})
            self._agents.kill_working()

    def _retire_host(self) -> None:
        try:
            self.reporting.retire()
        except psycopg.OperationalError as error:
            log_database_error(error, "this host could not be reported as gone: ")

    def _test_of(self, agent_type: AgentType) -> StartupTest:
        return self._surroundings.test_of(agent_type)

    def _why_not(self, agent_type: str) -> str | None:
        """Why this host starts no agent of a type now."""
        seconds = self._agents.seconds_until_start(agent_type)
        return str(RespawnExhausted(agent_type, seconds)) if seconds else self.offer.why_closed(agent_type)

    def _acquire(self, work: Work) -> Agent:
        agent_type = self._surroundings.agent_types.get(work.agent_type)
        if agent_type is None:
            raise NotHere(f"{work.agent_type} is not configured on {self.host.name}")
        if why := self.offer.why_closed(work.agent_type):
            raise NotHere(f"{work.agent_type} is not started on {self.host.name}: {why}")
        command = command_line(agent_type, work, self._surroundings.configuration_folder)
        start = partial(
            self._agents.acquire,
            agent_type,
            command,
            environment=self._surroundings.environment,
            nice=nice_of(work.priority),
        )
        return self._under_way.when_there_is_room(
            start,
            backoff_seconds=self._surroundings.fork_backoff_seconds,
            patience_seconds=self.leases.third,
        )

    def _converse(self, agent: Agent, work: Work, asked_at: float) -> tuple[Outcome, bytes]:
        log = self._surroundings.log_of(work, agent.process.pid)
        session = Session(
            agent,
            work,
            timers=self._surroundings.timers,
            started=lambda pid: self._started(work, session, pid),
            log=log,
        )
        self.leases.add(work, session, asked_at)
        outcome = session.run()
        if log:
            self._tell_of(log, work)
        return outcome, session.output()

    def _tell_of(self, log: JobLog, work: Work) -> None:
        """Whoever sees that the job has ended finds its log; the keeper has told of it where there was time."""
        if path := log.untold_path:
            paths = {(work.job, work.epoch): path}
            self._under_way.persistently(lambda: self._store.keep_log_paths(paths))

    def _end(
        self, work: Work, outcome: Outcome, tail: bytes, following: int | None, why: Obstacle | None = None
    ) -> str:
        """Write the outcome, then, after its commit, publish what it made possible."""
        written = self._under_way.persistently(lambda: self._store.finish(work, outcome, tail, why))
        self.leases.remove(work)
        if written:
            startable = self._under_way.persistently(lambda: self._store.startable(work, following))
            self._proposals.publish(startable.freed)
            self._proposals.refill(startable.refill)
        return _report(work, outcome, written)

    def _return(self, work: Work, error: Exception, following: int | None) -> str:
        kind = ObstacleKind.NO_HOST if isinstance(error, NotHere) else ObstacleKind.RESPAWN
        outcome = Outcome(Ending.RETURNED, reason=str(error))
        return self._end(work, outcome, b"", following, Obstacle(kind, work.agent_type))

    def _started(self, work: Work, session: Session, pid: int) -> bool:
        self._versions.note(work.agent_type, session.version)
        ours = self._under_way.persistently(lambda: self._store.started(work, pid))
        return ours and self.leases.trusts(work)

    def _hand_back(self, job: int, why: str) -> str:
        """Leave a hint to other hosts; the row is not touched: elsewhere the job may start."""
        log.info("job %d not started: %s", job, why, extra={"action": "handed_back", "job": job})
        self.reporting.hand_back(job)
        self.alarm.ring()
        return why

    def _refused(self, job: int, obstacle: Obstacle) -> str:
        sentence = explain(obstacle)
        facts = {"action": "refused", "job": job, "kind": obstacle.kind.value}
        log.info("job %d not started: %s", job, sentence, extra=facts)
        return sentence


def _report(work: Work, outcome: Outcome, written: bool) -> str:
    ending = outcome.ending if written else Ending.LOST
    level = logging.INFO if ending is Ending.COMPLETED else logging.WARNING
    facts = {"action": f"job_{ending.value}", "job": work.job, "stream": work.stream, "epoch": work.epoch}
    log.log(level, "job %d (%s): %s %s", work.job, work.agent_type, ending.value, outcome.reason, extra=facts)
    return f"{ending.value} {outcome.reason}".strip()
