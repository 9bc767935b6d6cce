"""PostgresStore: the verbs of the port, each one call of a function in our schema.

Theory of "not yet" and "finished" not missing each other. A worker that is refused writes that down and
commits; whoever removes an obstacle commits that first and only then, in a new snapshot, looks who was
refused. If the one who removes looked too early to see the refusal, then its commit came before the
refusal's: so the refused worker asks again after its own commit, and is not refused, or for another reason,
for which the same holds. It asks until it has nothing new to write down. Each looks after it has written,
so one of the two sees the other.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from scheduler_bridge.model.agents import AgentType, Host, Special
from scheduler_bridge.model.jobs import Ending, Job, Outcome, Work
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind
from scheduler_bridge.store.connecting import noticing_loss
from scheduler_bridge.store.port import (
    NO_PROBLEMS,
    Held,
    Line,
    Orders,
    PlanRecord,
    Reported,
    Startable,
    StreamRows,
)
from scheduler_bridge.store.queries import read_queries
from scheduler_bridge.store.telling import hear

QUERIES = read_queries(Path(__file__).with_name("queries.sql"))
RECONNECT_SECONDS = 4  # then the pool's pauses between two attempts, which double, begin anew at one second
ROUND_SECONDS = 45  # every open row is looked at again within 60 s: changes are counted within 10 s
ENDS_THE_JOB = (ObstacleKind.DOOMED, ObstacleKind.UNKNOWN_TYPE)  # settling it fails the row


class PostgresStore:
    """Rows in PostgreSQL; safe to share between threads."""

    def __init__(
        self, url: str, *, lease_seconds: float = 30, window: int = 0, connections: int = 10
    ) -> None:
        """`window` 0: twice the fleet's slots, 20 to 200. Opens no connection before it is needed."""
        self._lease_seconds = lease_seconds
        self._window = window or None
        self._pool = ConnectionPool(
            noticing_loss(url),
            min_size=0,
            max_size=connections,
            open=True,
            timeout=10,
            reconnect_timeout=RECONNECT_SECONDS,
            kwargs={"autocommit": True},
            configure=hear,
            name="store",
        )
        # A pool that is still open when the interpreter ends holds it up for 5 s a thread, from Python 3.13 on.
        atexit.register(self.close)

    def close(self) -> None:
        """Close all connections."""
        atexit.unregister(self.close)
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection in autocommit mode, for readers beside the verbs."""
        with self._pool.connection() as connection:
            yield connection

    def publish_configuration(
        self, types: Iterable[AgentType], hosts: Iterable[Host], problems: Mapping[str, str] = NO_PROBLEMS
    ) -> None:
        # What is broken is known by its name; nothing of it runs, so that its limits do not matter.
        types, hosts = [*types, *(AgentType(name, (), Path()) for name in problems)], list(hosts)
        self._rows(
            "publish_configuration",
            types=[t.name for t in types],
            maxima=[t.maximum for t in types],
            exclusive=[Special.EXCLUSIVE in t.special for t in types],
            local=[Special.LOCAL in t.special for t in types],
            quiet=[Special.NOEMAIL in t.special for t in types],
            attempts=[t.retry.attempts for t in types],
            retry_failed=[Ending.FAILED in t.retry.endings for t in types],
            retry_lost=[Ending.LOST in t.retry.endings for t in types],
            backoff=[float(t.retry.backoff_seconds) for t in types],
            problems=[problems.get(t.name) for t in types],
            hosts=[h.name for h in hosts],
            slots=[h.slots for h in hosts],
        )

    def register_host(
        self, host: Host, worker: str, types: Iterable[str], problems: Mapping[str, str] = NO_PROBLEMS
    ) -> Reported:
        (row,) = self._rows(
            "register_host",
            host=host.name,
            slots=host.slots,
            worker=worker,
            types=list(types),
            broken=list(problems),
            problems=list(problems.values()),
        )
        return Reported(*row)

    def retire_host(self, host: str, worker: str) -> None:
        with self._pool.connection() as connection:
            connection.execute(QUERIES["retire_host"], {"host": host, "worker": worker})

    def observe(self) -> int:
        return int(self._value("observe"))

    def lease_streams(self, owner: str, only: Sequence[int] | None = None) -> list[int]:
        return self._column("lease_streams", owner=owner, only=only)

    def stream_rows(self, stream: int) -> StreamRows:
        jobs, elsewhere = [], {}
        for job, own_stream, agent_type, host, priority, needs, own in self._rows(
            "stream_rows", stream=stream
        ):
            needed = frozenset(needs or ())
            if own:
                jobs.append(Job(job, own_stream, agent_type, host, priority, needed))
            else:
                elsewhere[job] = needed
        return StreamRows(stream, tuple(jobs), elsewhere)

    def record_plan(self, stream: int, owner: str, record: PlanRecord) -> set[int]:
        runs = record.followers
        return set(
            self._column(
                "record_plan",
                stream=stream,
                owner=owner,
                planned=list(record.planned),
                run_from=list(runs),
                run_to=list(runs.values()),
                heads=list(record.heads),
                links=list(record.links),
                faulty=list(record.faults),
                faults=list(record.faults.values()),
                window=self._window,
            )
        )

    def top_up(self, streams: Sequence[int] | None = None) -> list[Line]:
        return _lines(self._rows("top_up", streams=streams, window=self._window))

    def unpropose(self, jobs: Sequence[int]) -> None:
        self._rows("unpropose", jobs=list(jobs))

    def claim(self, job: int, worker: str, host: str) -> Work | Obstacle:
        while True:
            (row,) = self._rows("claim", job=job, worker=worker, host=host, lease=self._lease_seconds)
            kind, subject, recorded, *work = row
            if kind is None:
                return Work(*work)
            first = work[0]
            refusal = Obstacle(ObstacleKind(kind), subject or "")
            if refusal.kind in ENDS_THE_JOB:
                self._rows("settle", jobs=[first])
            if first == job and (refusal.kind in ENDS_THE_JOB or not recorded):
                return refusal

    def started(self, work: Work, pid: int) -> bool:
        return bool(self._value("started", job=work.job, epoch=work.epoch, pid=pid))

    def renew(self, worker: str, attempts: Sequence[Held]) -> dict[int, Orders]:
        rows = self._rows(
            "renew",
            worker=worker,
            jobs=[a.job for a in attempts],
            epochs=[a.epoch for a in attempts],
            items=[a.items for a in attempts],
            lease=self._lease_seconds,
        )
        return {job: Orders(*orders) for job, *orders in rows}

    def killed(self, attempts: Sequence[Held]) -> dict[int, str]:
        return dict(self._rows("killed", jobs=[a.job for a in attempts], epochs=[a.epoch for a in attempts]))

    def keep_output(self, tails: Mapping[tuple[int, int], bytes]) -> None:
        jobs, epochs = [job for job, _ in tails], [epoch for _, epoch in tails]
        self._rows("keep_output", jobs=jobs, epochs=epochs, tails=list(tails.values()))

    def keep_log_paths(self, paths: Mapping[tuple[int, int], str]) -> None:
        jobs, epochs = [job for job, _ in paths], [epoch for _, epoch in paths]
        self._rows("keep_log_paths", jobs=jobs, epochs=epochs, paths=list(paths.values()))

    def finish(
        self, work: Work, outcome: Outcome, tail: bytes = b"", obstacle: Obstacle | None = None
    ) -> bool:
        return bool(
            self._value(
                "finish",
                job=work.job,
                epoch=work.epoch,
                ending=outcome.ending.value,
                items=outcome.items,
                reason=outcome.reason,
                tail=tail,
                obstacle=obstacle and obstacle.kind.value,
                subject=obstacle and obstacle.subject,
                email=outcome.email,
            )
        )

    def startable(self, work: Work, following: int | None = None) -> Startable:
        values = {"following": following, "window": self._window}
        rows = self._rows("startable", job=work.job, epoch=work.epoch, **values)
        return Startable(
            _lines(row[1:] for row in rows if not row[0]), _lines(row[1:] for row in rows if row[0])
        )

    def owners_on(self, host: str) -> list[str]:
        return self._column("owners_on", host=host)

    def reclaim(self, dead: Sequence[str] = ()) -> list[int]:
        return self._column("reclaim", dead=list(dead))

    def sweep_turn(self, turn_seconds: float, interval_seconds: float) -> bool:
        lease = self._lease_seconds
        return bool(self._value("sweep_turn", turn=turn_seconds, interval=interval_seconds, lease=lease))

    def sweep(self, hint_seconds: float, every_seconds: float | None = None) -> list[int]:
        reclaimed = self.reclaim()
        slices = max(1, int(ROUND_SECONDS / max(every_seconds or hint_seconds, 1)))
        if jobs := self._value("look_at_slice", slices=slices):
            self._rows("settle", jobs=jobs)
        self._rows("end_backoffs")
        self._rows("withdraw_lost_hints", after=hint_seconds)
        self._rows("close_streams")
        return reclaimed

    def _value(self, query: str, **values: Any) -> Any:
        return self._rows(query, **values)[0][0]

    def _column(self, query: str, **values: Any) -> list[Any]:
        return [row[0] for row in self._rows(query, **values)]

    def _rows(self, query: str, **values: Any) -> list[Any]:
        with self._pool.connection() as connection:
            return connection.execute(QUERIES[query], values or None, prepare=True).fetchall()


def _lines(rows: Iterable[Any]) -> list[Line]:
    return [
        tuple(Job(job, stream, agent_type, host) for _, job, stream, agent_type, host in line)
        for _, line in groupby(rows, key=lambda row: row[0])
    ]
