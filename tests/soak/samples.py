"""Looks at a fleet: its processes, its servers, its tables. One look costs some tens of milliseconds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg

from tests.bench.fleet import Fleet
from tests.bench.processor import roots

MIB = 1024 * 1024
KEPT = (
    "attempt",
    "output",
    "mail",
    "job",
    "jobqueue",
    "jobdepends",
)  # they keep what has been: they grow by design

TABLES = """
select relname, pg_total_relation_size(relid) / 1048576.0, n_dead_tup
from pg_stat_user_tables where schemaname in ('scheduler_bridge', 'public')
"""
# Celery remembers each chord that is done for 300 s. Their number follows the pace of the load, five minutes late.
MARKERS = "celery-taskset-meta-*.c"
# A backend fills its caches and keeps the plans of every branch of every function that it comes past: some 8 MiB, two
# minutes after its first call. The pools open one more whenever there is a rush. So what is judged is their number, and
# the memory of one that has done all this.
BACKEND_SECONDS = 180
BACKENDS = """
select pid from pg_stat_activity
where client_port is not null and backend_start < now() - make_interval(secs => %s)
"""
CONNECTIONS = "select count(*) from pg_stat_activity where client_port is not null"
OPEN = "select count(*) from scheduler_bridge.open_job"
ENDED = "select count(*) from scheduler_bridge.attempt where ended_at is not null"


@dataclass(frozen=True, slots=True)
class Quantity:
    """One kind of number."""

    unit: str
    floor: float = math.inf  # a rise up to here within a run is no matter; infinite: it is not judged


# Floors: an interpreter collects its oldest generation every five minutes or so, its arenas are 1 MiB, and malloc keeps
# what was freed between two things that live; one descriptor more may be in the middle of something.
QUANTITIES = {
    "private": Quantity("MiB", 2.0),
    "a backend": Quantity("MiB", 0.25),  # private, the mean of those that are warm
    "family": Quantity("MiB"),  # private, all processes of PostgreSQL: a new connection is a step of 8 MiB
    "resident": Quantity(
        "MiB"
    ),  # with pages shared with others, such as PostgreSQL's buffers: shown, not judged
    "descriptors": Quantity("", 1.5),
    "threads": Quantity("", 1.5),
    "connections": Quantity("", 1.5),  # to PostgreSQL
    "zombies": Quantity("", 0.5),
    "memory": Quantity("MiB", 0.5),  # what Redis says that it uses
    "keys": Quantity("", 3),
    "done chords": Quantity(""),
    "clients": Quantity("", 1.5),
    "size": Quantity("MiB", 0.5),  # of tables with their indexes
    "dead": Quantity("rows", 5000),  # vacuum comes once a minute
    "open jobs": Quantity("", 50),  # if they grow, the load is no steady one
    "kept size": Quantity("MiB"),
    "ended attempts": Quantity(""),
}

Key = tuple[str, str]  # of whom, quantity
Look = dict[Key, float]


def look(fleet: Fleet) -> Look:
    """Everything as it is now."""
    found: Look = {}
    port = urlsplit(fleet.services.database_url).port
    for name, root in roots(fleet):
        with suppress(psutil.NoSuchProcess):
            for quantity, value in _of_process(name, root, port):
                found[name, quantity] = value
    if backends := list(warm_backends(fleet.connection)):
        found["postgres", "a backend"] = statistics.fmean(backends) / MIB
    for quantity, value in _of_database(fleet):
        found["database", quantity] = value
    for quantity, value in _of_redis(fleet):
        found["redis", quantity] = value
    return found


def _of_process(name: str, root: psutil.Process, port: int | None) -> Iterator[tuple[str, float]]:
    """A part itself, without its agents; PostgreSQL with all its backends."""
    family = [root, *root.children(recursive=True)]
    yield "zombies", sum(_status(process) == psutil.STATUS_ZOMBIE for process in family)
    if name == "postgres":
        yield "family", sum(_private(process.pid) for process in family) / MIB
        yield "descriptors", sum(map(_descriptors, family))
        return
    with root.oneshot():
        yield "private", _private(root.pid) / MIB
        yield "resident", root.memory_info().rss / MIB
        yield "descriptors", _descriptors(root)
        yield "threads", root.num_threads()
    yield "connections", sum(bool(c.raddr) and c.raddr.port == port for c in root.net_connections("tcp"))


def warm_backends(connection: psycopg.Connection[Any], seconds: float = BACKEND_SECONDS) -> Iterator[int]:
    """Private bytes of each that is `seconds` old; none in the first minutes."""
    for (pid,) in connection.execute(BACKENDS, [seconds]).fetchall():
        if size := _private(pid):  # it may have ended meanwhile
            yield size


def _of_database(fleet: Fleet) -> Iterator[tuple[str, float]]:
    size = kept = dead = 0.0
    for table, megabytes, rows in fleet.connection.execute(TABLES).fetchall():
        if table in KEPT:
            kept += float(megabytes)
        else:
            size += float(megabytes)
            dead += rows
    yield from {"size": size, "dead": dead, "kept size": kept}.items()
    for name, query in (("connections", CONNECTIONS), ("open jobs", OPEN), ("ended attempts", ENDED)):
        (count,) = fleet.connection.execute(query.encode()).fetchall()[0]
        yield name, float(count)


def _of_redis(fleet: Fleet) -> Iterator[tuple[str, float]]:
    said = fleet.broker.info()
    yield "memory", said["used_memory"] / MIB
    markers = sum(1 for _ in fleet.broker.scan_iter(MARKERS, count=1000))
    yield "done chords", markers
    yield "keys", max(0, fleet.broker.dbsize() - markers)
    yield "clients", float(said["connected_clients"])


def _private(pid: int) -> int:
    """Bytes that nobody else has, swapped ones too; 0 once it has ended."""
    try:
        memory = psutil.Process(pid).memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(memory.uss) + int(getattr(memory, "swap", 0))


def _descriptors(process: psutil.Process) -> int:
    try:
        return int(process.num_fds())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return ""
