"""What the command port asks of the rows and writes into them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scheduler_bridge.commands.replies import AgentLine, AgentStatus, HostLine, JobLine, JobStatus
from scheduler_bridge.model.agents import Host
from scheduler_bridge.orphan_watch import dead_among
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.store.queries import read_queries

QUERIES = read_queries(Path(__file__).with_name("orders.sql"))


class PostgresOrders:
    """Orders over the store's connections; safe to share between threads."""

    def __init__(self, store: PostgresStore, proposals: Proposals) -> None:
        self.configured: Mapping[str, Host] = {}  # hosts in the order of the configuration
        self._store = store
        self._proposals = proposals

    def observe(self) -> None:
        """Take in rows that are new."""
        self._store.observe()

    def open_jobs(self) -> list[JobLine]:
        """Every job that has not ended, by number."""
        return [_job_line(*row) for row in self._rows("jobs", job=None)]

    def job(self, job: int) -> tuple[JobLine, list[AgentLine]] | None:
        """One job with its running agents; None where it has ended or never was."""
        found = self._rows("jobs", job=job)
        if not found:
            return None
        agents = [
            AgentLine(pid, host, agent_type, AgentStatus(state), seen_at)
            for pid, host, agent_type, state, seen_at in self._rows("agents", job=job)
        ]
        return _job_line(*found[0]), agents

    def kill(self, job: int, text: str) -> bool:
        """End it as failed with this text, and all that depends on it; whether there is such a row."""
        self._store.observe()  # a row that nobody has seen yet has no dependents that would fail with it
        return self._told("kill", job=job, text=text)

    def pause(self, job: int) -> bool:
        """Stop it where it is, or before it starts; whether there is such a row."""
        return self._told("pause", job=job)

    def restart(self, job: int) -> bool:
        """Let it go on if it is paused; whether there is such a row."""
        stream = self._rows("restart", job=job)[0][0]
        if stream is not None:
            self._proposals.top_up([stream])
        return stream is not None

    def set_priority(self, job: int, level: int) -> bool:
        """Give its stream the priority; whether there is such a row."""
        return self._told("set_priority", job=job, priority=level)

    def set_job_verbosity(self, job: int, level: int) -> bool:
        """Tell its agents; whether there is such a row."""
        return self._told("set_verbosity", job=job, level=level)

    def hosts(self) -> list[HostLine]:
        """Hosts of the configuration in its order, then others that have reported."""
        found = {name: (slots, running) for name, slots, running in self._rows("hosts")}
        unnamed = {name: Host(name, slots) for name, (slots, _) in found.items()}
        hosts = [
            host for host in {**self.configured, **unnamed, **self.configured}.values() if host.name in found
        ]
        return [HostLine(host.name, host.address or host.name, *found[host.name]) for host in hosts]

    def agent_types(self) -> list[str]:
        """Names of those that some host can run now."""
        return [name for (name,) in self._rows("agent_types")]

    def reload(self) -> None:
        """Let every bridge and every worker read its configuration again."""
        self._rows("reload")

    def register_bridge(self, owner: str, host: str, port: int | None) -> int:
        """Report that a bridge runs and holds this port, or none; how often `reload` was asked for."""
        return int(self._rows("register_bridge", owner=owner, host=host, pid=os.getpid(), port=port)[0][0])

    def forget_bridge(self, owner: str) -> None:
        """Report that a bridge has ended."""
        self._rows("forget_bridge", owner=owner)

    def port_holder(self, owner: str, host: str, port: int) -> str | None:
        """Another bridge that holds this port on the host."""
        found = [str(name) for (name,) in self._rows("port_holder", owner=owner, host=host, port=port)]
        dead = dead_among(found)
        return next((name for name in found if name not in dead), None)

    def _told(self, query: str, **values: Any) -> bool:
        return bool(self._rows(query, **values)[0][0])

    def _rows(self, query: str, **values: Any) -> list[Any]:
        with self._store.connection() as connection:
            return connection.execute(QUERIES[query], values or None, prepare=True).fetchall()


def _job_line(job: int, state: str, agent_type: str, priority: int, running: int) -> JobLine:
    return JobLine(job, JobStatus(state), agent_type, priority, running)
