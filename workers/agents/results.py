"""What agents write about a job stream, so that a reader sees one whole attempt of each agent and never two
halves.

All results of one agent in one stream are replaced by one transaction under a lock of their own. The list of
files is what every other result refers to: whoever replaces it has the stream to itself, everybody else
shares it.

Findings in content are kept by content: first they go to the cache, then the results of a stream are spread
from there over its files by one statement, whether they were found just now or last year.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from workers.agents.helper import AgentError, Task

Connection = psycopg.Connection[Any]
Finding = Sequence[str | int]

LOCK_SECONDS = 20  # between two signs of life; today's scheduler kills an agent that is silent for 180

_ALONE = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
_SHARED = "select pg_advisory_xact_lock_shared(hashtextextended(%s, 0))"

# Each file is looked up in the cache by its key, whatever the planner believes about tables that have just
# been filled: `offset 0` keeps it from making a join of it (measured: 30 seconds for 9,000 files).
_LOOK_UP = """
    select c.sha256, c.variant, c.findings from scheduler_bridge.scan_cache c
    where c.sha256 = f.sha256 and c.agent = %(agent)s and c.version = %(version)s and c.variant = {variant}
    offset 0"""

_PAGE = f"""
select f.file, f.sha256, f.path, f.location, f.modified_ns, {{variant}},
    known.sha256 is not null or f.kind <> all (%(kinds)s)
from scheduler_bridge.scan_file f
left join lateral ({_LOOK_UP}) known on true
where f.stream = %(stream)s and f.file > %(after)s and f.sha256 is not null
order by f.file limit %(limit)s"""

_UNKNOWN = f"""
select count(*) from scheduler_bridge.scan_file f
where f.stream = %(stream)s and f.kind = any (%(kinds)s) and f.sha256 is not null
    and not exists ({_LOOK_UP})"""

_SPREAD = f"""
insert into scheduler_bridge.{{table}} (stream, file, {{columns}})
select f.stream, f.file, {{values}}
from scheduler_bridge.scan_file f
cross join lateral ({_LOOK_UP}) known
cross join lateral jsonb_array_elements(known.findings) e (finding)
where f.stream = %(stream)s and f.kind = any (%(kinds)s)"""

# What another stream marks right now is being marked: no need to wait for it.
_TOUCH = """
with due as (
    select known.place from scheduler_bridge.scan_file f
    cross join lateral (
        select c.ctid as place from scheduler_bridge.scan_cache c
        where c.sha256 = f.sha256 and c.agent = %(agent)s and c.version = %(version)s
            and c.variant = {variant} and c.used_on < current_date
        offset 0 for no key update skip locked) known
    where f.stream = %(stream)s
)
update scheduler_bridge.scan_cache c set used_on = current_date from due where c.ctid = due.place"""

# In the order of the key: two agents that remember the same contents must not wait for each other in a ring.
_REMEMBER = """
insert into scheduler_bridge.scan_cache (sha256, agent, version, variant, findings)
select r.sha256, %(agent)s, %(version)s, r.variant, r.findings
from unnest(%(sha256)s::bytea[], %(variant)s::text[], %(findings)s::jsonb[]) as r (sha256, variant, findings)
order by r.sha256, r.variant
on conflict do nothing"""

_RUN = """
insert into scheduler_bridge.scan_run (stream, agent, version, files, cached) values (%s, %s, %s, %s, %s)
on conflict (stream, agent) do update set version = excluded.version, files = excluded.files,
    cached = excluded.cached, finished_at = now()"""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where an agent's findings go: their table and, in the order of a finding's values, its columns."""

    table: str
    names: tuple[str, ...]
    types: tuple[str, ...]  # text or int


@dataclass(frozen=True, slots=True)
class Source:
    """An agent whose findings depend on content alone, or on content and name."""

    agent: str
    version: str  # key of the cache: another version scans anew
    columns: Columns
    by_name: bool = False
    kinds: tuple[str, ...] = ("file",)  # an archive's content is that of its members

    def parameters(self, stream: int, **more: int) -> dict[str, object]:
        """What the statements ask for."""
        kinds = list(self.kinds)
        return {"agent": self.agent, "version": self.version, "kinds": kinds, "stream": stream, **more}

    def statement(self, text: str) -> sql.Composed:
        variant = "substring(f.path from '[^/]*$')" if self.by_name else "''"
        values = [
            sql.SQL("(e.finding ->> {})::{}").format(sql.Literal(index), sql.SQL(kind))
            for index, kind in enumerate(self.columns.types)
        ]
        return sql.SQL(text).format(
            table=sql.Identifier(self.columns.table),
            columns=sql.SQL(", ").join(map(sql.Identifier, self.columns.names)),
            values=sql.SQL(", ").join(values),
            variant=sql.SQL(variant),
        )


@dataclass(frozen=True, slots=True)
class Known:
    """A file with content, as an agent is given it."""

    file: int
    sha256: bytes
    path: str
    location: bytes | None  # None: at `path`
    modified_ns: int | None
    variant: str  # its name, for agents that look at it
    cached: bool  # or nothing that the agent looks at

    @property
    def place(self) -> str | bytes:
        return self.location or self.path


@dataclass(frozen=True, slots=True)
class Totals:
    """What an agent has done in a stream."""

    files: int
    cached: int = 0
    unreadable: int = 0


@contextmanager
def replacing(
    connection: Connection, stream: int, agent: str, *, alive: Callable[[], None], files: bool = False
) -> Iterator[None]:
    """A transaction in which `agent` replaces its results; its earlier notes are gone.

    `files`: it is the list of files that is replaced, and what all other agents have found goes with it.
    `alive` is called now and then while another attempt is waited for.
    """
    with connection.transaction():
        _lock(connection, _ALONE if files else _SHARED, f"scheduler_bridge.scan {stream}", alive)
        _lock(connection, _ALONE, f"scheduler_bridge.scan {stream} {agent}", alive)
        if files:
            connection.execute("select scheduler_bridge.forget_scan(%s)", [stream])
        connection.execute(
            "delete from scheduler_bridge.scan_note where stream = %s and agent = %s", [stream, agent]
        )
        yield


def _lock(connection: Connection, statement: LiteralString, key: str, alive: Callable[[], None]) -> None:
    while True:
        try:
            with connection.transaction():  # kept by the one around it
                connection.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
                connection.execute(statement, [key])
                return
        except psycopg.errors.LockNotAvailable:
            alive()


def finished(connection: Connection, stream: int, agent: str, version: str, totals: Totals) -> None:
    """Write down that the agent is through with the stream."""
    connection.execute(_RUN, [stream, agent, version, totals.files, totals.cached])


def add_notes(connection: Connection, stream: int, agent: str, notes: Iterable[tuple[str, str]]) -> None:
    """What was left out and why, as pairs of path and text."""
    with (
        connection.cursor() as cursor,
        cursor.copy("copy scheduler_bridge.scan_note (stream, agent, path, note) from stdin") as copy,
    ):
        for path, text in notes:
            copy.write_row((stream, agent, storable(path), storable(text)))


def storable(text: str) -> str:
    """`text` as PostgreSQL can keep it: bytes that are not UTF-8, and NUL, written as escapes."""
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no file's name: half a character, from JSON
        data = text.encode("utf-8", "backslashreplace")
    return data.decode("utf-8", "backslashreplace").replace("\0", "\\0")


def page(connection: Connection, source: Source, stream: int, after: int, limit: int) -> list[Known]:
    """The next files with content behind number `after`."""
    values = source.parameters(stream, after=after, limit=limit)
    with connection.transaction():
        return [Known(*row) for row in connection.execute(source.statement(_PAGE), values)]


def remember(connection: Connection, source: Source, found: Iterable[tuple[Known, list[Finding]]]) -> None:
    """Put findings into the cache."""
    rows = list(found)
    values = {
        "agent": source.agent,
        "version": source.version,
        "sha256": [known.sha256 for known, _ in rows],
        "variant": [known.variant for known, _ in rows],
        "findings": [json.dumps(findings) for _, findings in rows],
    }
    with connection.transaction():
        connection.execute(_REMEMBER, values)


def publish(task: Task, source: Source, totals: Totals, notes: Iterable[tuple[str, str]]) -> None:
    """Make what the cache knows about the stream's contents the results of the stream, all at once.

    Raises AgentError when more is unknown than could not be read: the files have been replaced meanwhile.
    """
    connection, stream = task.connection, task.stream
    values = source.parameters(stream)
    with replacing(connection, stream, source.agent, alive=task.heart):
        unknown = connection.execute(source.statement(_UNKNOWN), values).fetchone()
        if unknown and unknown[0] > totals.unreadable:
            raise AgentError(f"the files of stream {stream} were replaced while they were scanned")
        connection.execute(
            sql.SQL("delete from scheduler_bridge.{} where stream = %s").format(
                sql.Identifier(source.columns.table)
            ),
            [stream],
        )
        connection.execute(source.statement(_SPREAD), values)
        add_notes(connection, stream, source.agent, notes)
        finished(connection, stream, source.agent, source.version, totals)
    with connection.transaction():
        connection.execute(source.statement(_TOUCH), values)
