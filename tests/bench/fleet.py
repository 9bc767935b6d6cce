"""A fleet on servers of its own: started, ready, waited for, ended; Ctrl-C leaves nothing behind."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from scheduler_bridge.dispatch.routes import HOUSEKEEPING
from scheduler_bridge.embedded import Services, services
from scheduler_bridge.output import LogFolder
from scheduler_bridge.procfile import Part, find_procfile, read_procfile
from scheduler_bridge.servers import LOOPBACK
from scheduler_bridge.supervisor import Supervisor
from scheduler_bridge.up import free_port, part_environment, prepare_database
from tests.bench.rows import Inserted, Run, insert, open_jobs, runs_of
from tests.bench.waiting import rest, wait
from tests.bench.workshop import PROJECT, Workshop

READY_SECONDS = 60.0
STREAM_SECONDS = 180.0
WARM_UP_JOBS = 40

LISTENING = b"select count(*) from pg_stat_activity where query ilike 'listen %'"
HEALTHY = b"select count(*) from scheduler_bridge.host where seen_at > now() - interval '30 seconds'"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Processes that run, and a connection to their database."""

    parts: Sequence[Part]
    environment: Mapping[str, str]  # of the parts
    supervisor: Supervisor
    services: Services
    connection: psycopg.Connection[Any]
    broker: redis.Redis
    logs: Path
    web_port: int

    def wait(self, until: Callable[[], bool], *, seconds: float, what: str) -> None:
        """See `waiting.wait`."""
        wait(self.supervisor, until, seconds=seconds, what=what, logs=self.logs)

    def rest(self, seconds: float) -> None:
        """See `waiting.rest`."""
        rest(self.supervisor, seconds)

    def finished(self, inserted: Inserted) -> list[Run]:
        """Wait until a stream has ended; its jobs. BenchError if one has not completed."""
        what = f"the end of a stream of {len(inserted.jobs)}"
        self.wait(lambda: not open_jobs(self.connection, inserted.stream), seconds=STREAM_SECONDS, what=what)
        return runs_of(self.connection, inserted.stream)

    def restarts(self) -> list[str]:
        """What the supervisor said about parts that ended by themselves."""
        log = self.logs / "supervisor.log"
        said = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        return [line for line in said if "starts again" in line]


@contextmanager
def fleet(shop: Workshop, slots: int) -> Iterator[Fleet]:
    """All parts of the Procfile with so many slots, ready and warm."""
    parts = read_procfile(find_procfile())
    with running(shop, parts, {"SCHEDULER_BRIDGE_SLOTS": str(slots)}) as started:
        started.wait(lambda: ready(started), seconds=READY_SECONDS, what="the fleet")
        started.finished(insert(started.connection, [0] * WARM_UP_JOBS))
        yield started


@contextmanager
def bridge_alone(shop: Workshop) -> Iterator[Fleet]:
    """A bridge that listens, with nobody to take what it proposes."""
    parts = [part for part in read_procfile(find_procfile()) if part.name == "bridge"]
    with running(shop, parts, {}) as started:
        started.wait(lambda: _count(started, LISTENING) > 0, seconds=READY_SECONDS, what="the bridge")
        yield started


@contextmanager
def running(shop: Workshop, parts: Sequence[Part], variables: dict[str, str]) -> Iterator[Fleet]:
    """Fresh servers and these parts, just started."""
    state = shop.new_folder("fleet")
    with services(state, {}) as servers:
        prepare_database(servers)
        port = free_port()
        own = {"SCHEDULER_BRIDGE_PORT": "0", "SCHEDULER_BRIDGE_STARTUP_TESTS": "off"}
        environment = {**shop.environment(), **own, **variables}
        of_parts = part_environment(environment, servers, shop.configuration, port)
        supervisor = Supervisor(parts, of_parts, LogFolder(state / "logs"), folder=PROJECT)
        with (
            psycopg.connect(servers.database_url, autocommit=True) as connection,
            redis.Redis.from_url(servers.redis_url) as broker,
            supervisor,
        ):
            yield Fleet(parts, of_parts, supervisor, servers, connection, broker, state / "logs", port)


def ready(started: Fleet) -> bool:
    """Whether a host has reported, a bridge listens, and housekeeping and the monitor take what comes."""
    return (
        _count(started, HEALTHY) > 0
        and _count(started, LISTENING) > 0
        and bool(started.broker.exists(f"_kombu.binding.{HOUSEKEEPING}"))
        and _open(started.web_port)
    )


def _count(started: Fleet, query: bytes) -> int:
    row = started.connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _open(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True
