"""The life of a scheduler: its parts under one supervisor, and what signals mean to it.

SIGTERM and SIGINT drain: nothing new starts on this host, running jobs end, and when the worker has left after its
last one, all other parts are stopped. A second one stops the worker too, whose agents then have their grace.
SIGQUIT ends the worker at once. SIGHUP opens the log anew and is passed on to the bridge.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg

import scheduler_bridge
from scheduler_bridge.daemon.database import Drain
from scheduler_bridge.daemon.detach import Starter
from scheduler_bridge.daemon.leftovers import free_rows
from scheduler_bridge.daemon.main_log import MainLog
from scheduler_bridge.daemon.reviver import Reviver, revive
from scheduler_bridge.daemon.startup import Startup
from scheduler_bridge.embedded import Services
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.procfile import Part
from scheduler_bridge.supervisor import Supervisor

WORKER = "worker"
BRIDGE = "bridge"
AT_ONCE_SECONDS = 3.0  # for a worker to kill its agents and to give their jobs back
VERBOSITY = re.compile(r" bridge: verbosity is now ([0-9]{1,10})\Z")  # the command `verbose`, told by its log
PROJECT = Path(scheduler_bridge.__file__).parents[1]  # Celery looks for `tasks` in the working folder


class Life:
    """From the first part's start to the last part's end."""

    def __init__(
        self, running: Services, log: MainLog, starter: Starter, host: str, *, grace_seconds: float
    ) -> None:
        self._database_url = running.database_url
        self._host = host
        self._log = log
        self._starter = starter
        self._revivers = [Reviver(server, log.error) for server in running.servers]
        self._drain = Drain(running.database_url, host, log.error)
        self._grace_seconds = grace_seconds

    def run(self, parts: Sequence[Part], environment: Mapping[str, str]) -> None:
        """Until a signal ends it.

        Raises BridgeError when a server ends again and again, or when a daemon does not come up.
        """
        self._supervisor = Supervisor(
            parts,
            environment,
            self._log,
            folder=PROJECT,
            grace_seconds=self._grace_seconds,
            answers={
                signal.SIGTERM: self._drain_or_hurry,
                signal.SIGINT: self._drain_or_hurry,
                signal.SIGQUIT: self._end_at_once,
                signal.SIGHUP: self._reload,
            },
        )
        self._startup = Startup([part.name for part in parts], self._starter.tell_up)
        self._log.heard = self._heard
        try:
            with self._supervisor as supervisor:
                self._startup.begin()
                supervisor.run(until=self._is_over)
        finally:
            self._startup.end()
            self._drain.end()
            self._free_rows()

    def _heard(self, part: str, line: str) -> None:
        self._startup.heard(part, line)
        if part == BRIDGE and (found := VERBOSITY.search(line)):
            self._log.verbosity = int(found[1])

    def _drain_or_hurry(self) -> bool:
        if self._drain.begun:
            self._log.say("stopping: running jobs go back to the queue")
            return True
        self._log.say("stopping when the running jobs have ended; the same signal again hurries")
        self._supervisor.retire(WORKER)
        self._drain.begin()
        return False

    def _end_at_once(self) -> bool:
        self._log.say("stopping at once: running jobs go back to the queue")
        self._supervisor.limit_grace(AT_ONCE_SECONDS)
        self._supervisor.end(WORKER, signal.SIGQUIT)
        return True

    def _reload(self) -> bool:
        self._log.reopen()
        self._log.say("reading the configuration again")
        self._supervisor.send(BRIDGE, signal.SIGHUP)
        return False

    def _is_over(self) -> bool:
        self._keep_servers()
        if self._starter.waits:
            self._require_first_lives()
        left = self._drain.begun and not self._supervisor.runs(WORKER)
        if left:
            self._drain.end()  # else the next worker of this host, perhaps another scheduler's, would be drained
        return left

    def _keep_servers(self) -> None:
        try:
            seconds = revive(self._revivers)
        except BridgeError as error:
            raise BridgeError(f"{error}: see its log in {os.environ['SCHEDULER_BRIDGE_STATE']}") from error
        if seconds is not None:
            self._supervisor.look_after(seconds)
        for reviver in self._revivers:
            self._supervisor.spare(reviver.pid)

    def _free_rows(self) -> None:
        """A worker that was killed has left its rows as started; its agents are dead by now."""
        try:
            freed = free_rows(self._database_url, self._host)
        except psycopg.Error as error:
            self._log.error(f"jobs of a killed worker could not be freed: {' '.join(str(error).split())}")
            return
        if freed:
            self._log.say(f"jobs of a killed worker are free again: {', '.join(map(str, freed))}")

    def _require_first_lives(self) -> None:
        """A daemon whose part ends before it was ready has not come up: the reason is in the part's last lines."""
        for name in self._startup.waiting:
            if self._supervisor.ends(name):
                self._log.finish()
                said = "\n".join(f"  {line}" for line in self._log.last_lines(name))
                raise BridgeError(f"{name} has ended before it was ready:\n{said}")
