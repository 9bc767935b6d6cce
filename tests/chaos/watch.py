"""What can be seen of a running trial: news for its history, what is still open, signs of life."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from typing import Any

import psycopg

from scheduler_bridge.audit.auditor import audit
from scheduler_bridge.audit.checks import Thresholds
from tests.chaos.evidence import Finding, Wrong
from tests.chaos.fleet import HOSTS, Fleet
from tests.process_nodes import PROJECT

LOOK_SECONDS = 0.2  # between two looks: the harness must not load the machine
AUDIT_SECONDS = 60.0
BEATS = ("beat1", "beat2")
BEATEN = "Sending due task"
NEWS = """
select a.job, a.epoch, coalesce(a.host, '-'),
       coalesce(a.ending, case when a.started_at is null then 'claimed' else 'started' end),
       a.reason, coalesce(a.agent_pid, 0)
from scheduler_bridge.attempt a where a.job = any (%s) order by a.job, a.epoch
"""
WORKERS = "select h.worker from scheduler_bridge.host h where h.name = any (%s) and h.worker is not null"
OPEN = """
select q.jq_pk from jobqueue q where q.jq_pk = any (%s) and (
    q.jq_endtime is null or exists (select from scheduler_bridge.attempt a where a.job = q.jq_pk and a.ended_at is null)
)
"""
DRAINING = "select name from scheduler_bridge.host where name = any (%s) and draining"


class Signs:
    """Beats that beat, from now on."""

    def __init__(self, fleet: Fleet) -> None:
        self._logs = {name: fleet.folder / f"{name}.log" for name in BEATS}
        self._sizes = {name: log.stat().st_size for name, log in self._logs.items()}

    def missing(self) -> list[str]:
        """Beats that have asked for nothing since, whatever their clocks say."""
        return [f"{name} asks for no sweep" for name in BEATS if BEATEN not in self._new(name)]

    def _new(self, name: str) -> str:
        with self._logs[name].open("rb") as log:
            log.seek(self._sizes[name])
            return log.read().decode("utf-8", "replace")


class Watch:
    """Looks at the database of a fleet, by a connection that is made anew when it has broken."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._connection: psycopg.Connection[Any] | None = None
        self._known: dict[tuple[int, int], str] = {}
        self._looked_at = 0.0

    def news(self, numbers: Mapping[int, int]) -> list[str]:
        """What has become of attempts since the last look, which is not made too often."""
        if time.monotonic() < self._looked_at + LOOK_SECONDS:
            return []
        self._looked_at = time.monotonic()
        said = []
        for job, epoch, host, state, reason, pid in self._rows(NEWS, list(numbers.values())):
            if self._known.get((job, epoch)) != state:
                self._known[job, epoch] = state
                said.append(
                    f"    job {job}, attempt {epoch} on {host}, agent {pid}: {state} {reason}".rstrip()
                )
        return said

    def open_jobs(self, numbers: Mapping[int, int]) -> list[int]:
        """Rows that have not ended, or whose agent is still being ended."""
        return [job for (job,) in self._rows(OPEN, list(numbers.values()))]

    def ended(self, numbers: Mapping[int, int]) -> set[int]:
        """Positions of rows that have ended."""
        still_open = set(self.open_jobs(numbers))
        return {position for position, job in numbers.items() if job not in still_open}

    def reported(self, hosts: Collection[str]) -> list[str]:
        """Those of these hosts whose present worker the database knows."""
        runs = [host for host in hosts if self._fleet.processes[host].status == "running"]
        workers = [worker for (worker,) in self._rows(WORKERS, runs)] if runs else []
        return [
            host for host in runs if any(f".{self._fleet.processes[host].pid}-" in one for one in workers)
        ]

    def draining(self) -> list[str]:
        """Hosts whose worker was told to leave and has not been followed by another."""
        return [host for (host,) in self._rows(DRAINING, list(HOSTS))]

    def signs(self) -> Signs:
        """To see later whether beats still beat."""
        return Signs(self._fleet)

    def audit(self) -> list[Finding]:
        """What the product's auditor says now that nothing is open: asked without patience, then as a command."""
        with self._fleet.connect() as connection:
            found = audit(connection, Thresholds(grace=0))
        said = [Finding(Wrong.AUDIT, f"{one.sentence}: {one.ids}") for one in found.findings]
        return said or self._audit_command()

    def _audit_command(self) -> list[Finding]:
        command = [sys.executable, "-m", "scheduler_bridge", "audit"]
        environment = self._fleet.processes["bridge1"].environment
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=AUDIT_SECONDS,
            check=False,
        )
        if done.returncode == 0:
            return []
        return [Finding(Wrong.AUDIT, f"exit status {done.returncode}: {done.stdout} {done.stderr}")]

    def close(self) -> None:
        """Look no more."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, query: str, wanted: list[int] | list[str]) -> list[Any]:
        for _ in range(2):  # the second time on a connection of its own
            try:
                if self._connection is None:
                    self._connection = self._fleet.connect()
                return self._connection.execute(query.encode(), [wanted]).fetchall()
            except psycopg.OperationalError:
                self.close()
        raise ConnectionError("the database cannot be reached although no fault holds it up")
