"""The task that carries one job, and the bootstep that gives a worker its agents."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, partial
from typing import Any, ClassVar, cast

import psycopg
from celery import Task, bootsteps
from celery.worker.consumer.tasks import Tasks

from scheduler_bridge.configuration.folder import Timers as ConfiguredTimers
from scheduler_bridge.configuration.rereading import read_again
from scheduler_bridge.dispatch.routes import MESSAGE_VERSION, RUN_JOB, shown_arguments
from scheduler_bridge.dispatch.transport import BROKER_ERRORS
from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Work
from scheduler_bridge.orphan_watch import OrphanWatch, dead_among, installation, mark_for_agents
from scheduler_bridge.parts import build, owner_name
from scheduler_bridge.store.listener import ORDERS, Listener
from scheduler_bridge.wiring import database_url, repository_folder
from tasks.app import app, configuration, is_housekeeping, once_there, settings
from tasks.consuming import canary, end_in_order
from tasks.ending import ending
from tasks.environment import shown_to_agents
from tasks.events import EventBatches
from tasks.host import AgentHost, Hint
from tasks.keeper import Keeper
from tasks.leases import Leases
from tasks.messages import GUARDED
from tasks.queues import OpenQueues
from tasks.surroundings import Surroundings
from workers.job_log import JobLogs
from workers.timing import Timers

log = logging.getLogger(__name__)

STOP_MARGIN_SECONDS = 2.0  # after the agents' grace, to write how they ended

open_queues = OpenQueues(canary.queue)
Chain = list[dict[str, Any]] | None  # remaining links as Celery keeps them, last first


class RunJob(Task[Any, Any]):
    """The base of `run_job`: knows its worker's host."""

    host: ClassVar[AgentHost | None] = None


@app.task(name=RUN_JOB, base=RunJob, bind=True, ignore_result=True, Strategy=GUARDED)
def run_job(self: RunJob, job: int, version: int) -> str | None:
    """Run one job on this host if its row allows it. Never raises for an agent's failure: that is a value."""
    if version != MESSAGE_VERSION:
        log.warning("job %d: message of version %s ignored; the sweep will propose it again", job, version)
        return None
    assert self.host is not None, "run_job belongs to a worker that has agents"
    rest = cast(Chain, self.request.chain)
    return self.host.run(Hint(job, following(rest), self.request.shadow, partial(show_instead, self)))


def show_instead(task: RunJob, work: Work) -> None:
    """Let whoever watches see the job that is run, not the one that the message was sent for."""
    if settings.events:
        with suppress(*BROKER_ERRORS):
            shown: dict[str, Any] = {"name": work.agent_type, "args": shown_arguments(work.job, work.stream)}
            task.send_event("task-started", retry=False, **shown)


def following(rest: Chain) -> int | None:
    """The job of the next link of a chain whose remaining links are `rest`."""
    if rest and rest[-1]["task"] == RUN_JOB:
        return int(rest[-1]["args"][0])
    return None


class HostStep(bootsteps.StartStopStep):
    """Starts this host's agent pool and its keeper with the worker, and ends them in order before the threads end."""

    requires = ("celery.worker.components:Pool",)

    def include_if(self, worker: Any) -> bool:
        """Housekeeping has no agents."""
        return not is_housekeeping(worker)

    def start(self, worker: Any) -> None:
        """Build the host, report it, begin to tend it."""
        assert configuration is not None, "refused in tasks.app"
        parts = once_there(partial(build, settings, app, "worker"))
        name = owner_name("worker", settings.host)
        leases = Leases(parts.store, name, lease_seconds=settings.lease_seconds)
        here = installation(database_url(settings))
        environment = shown_to_agents(os.environ) | _for_agents() | mark_for_agents(here, name)
        surroundings = Surroundings(
            configuration.agent_types,
            configuration.folder,
            _timers(configuration.timers),
            environment,
            _logs(),
            settings.startup_tests,
            configuration.timers.fork_backoff_seconds,
        )
        self._orphans = OrphanWatch(here)
        alone = self._orphans.start()  # before anybody may start their jobs again on this host
        host = Host(settings.host, worker.concurrency if settings.slots else 0)
        self._host = AgentHost(host, name, parts.store, parts.proposals, surroundings, leases)
        with suppress(psycopg.OperationalError):  # then the keeper reports it, and leases expire
            if alone:
                self._host.take_over(dead_among)
            self._host.reporting.report(time.monotonic())
        RunJob.host = self._host
        listener = Listener(database_url(settings), ORDERS)
        leave_drained = partial(end_in_order, worker)
        self._keeper = Keeper(self._host, open_queues, listener, read=what_changed, leave=leave_drained)
        self._keeper.start()
        threading.Thread(target=leases.watch, name="watcher", daemon=True).start()
        ending.attach(cache(self._end), self._host.hasten)

    def stop(self, worker: Any) -> None:
        """All jobs are back in the queue and all agents have ended when this returns."""
        ending.wait()

    def terminate(self, worker: Any) -> None:
        """SIGQUIT: the same without any grace."""
        ending.hasten()
        ending.wait()

    def _end(self) -> bool:
        """Return running jobs to the queue, end every agent in order; False as `AgentHost.stop`."""
        grace_seconds = 0.0 if ending.hastened else settings.stop_grace_seconds + STOP_MARGIN_SECONDS
        all_ended = self._host.stop(grace_seconds)
        self._orphans.stop()
        self._keeper.stop()
        return all_ended


class QueuesStep(bootsteps.StartStopStep):
    """Hands each new consumer to `open_queues`: it begins with what this host can run at that moment."""

    requires = (Tasks,)

    def include_if(self, consumer: Any) -> bool:
        """Housekeeping has one queue, always."""
        return not is_housekeeping(consumer)

    def start(self, consumer: Any) -> None:
        """Celery has connected."""
        open_queues.attach(consumer)

    def stop(self, consumer: Any) -> None:
        """Celery cancels the queues itself."""
        open_queues.detach()


def what_changed() -> tuple[Mapping[str, AgentType], Timers] | None:
    """Agent types and timers as the configuration folder has them now; None where it cannot be used."""
    assert configuration is not None
    found = read_again(configuration.folder)
    return (found.agent_types, _timers(found.timers)) if found else None


def _for_agents() -> dict[str, str]:
    """Where agents find configuration (C and PHP agents look under different names), database and this Python."""
    assert configuration is not None
    folder = str(configuration.folder.resolve())
    return {
        "SYSCONFDIR": folder,
        "FO_SYSCONFDIR": folder,
        "DATABASE_URL": database_url(settings),
        "SCHEDULER_BRIDGE_PYTHON": sys.executable,
        "SCHEDULER_BRIDGE_REPOSITORY": str(repository_folder(settings)),
    }


def _logs() -> JobLogs | None:
    """Logs of the jobs, where the configuration names FOSSology's repository."""
    assert configuration is not None
    if configuration.repository_path is None:
        return None
    repository = settings.repository_folder or configuration.repository_path
    return JobLogs(repository.absolute(), configuration.repository_depth, settings.host)


def _timers(timers: ConfiguredTimers) -> Timers:
    return Timers(
        death_seconds=timers.agent_death_seconds,
        update_seconds=timers.agent_update_seconds,
        update_number=timers.agent_update_number,
        grace_seconds=settings.stop_grace_seconds,
    )


app.steps["worker"].add(HostStep)
app.steps["consumer"].update((EventBatches, QueuesStep))
