"""One look at the database, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from scheduler_bridge.audit.checks import CHECKS, SENTENCES, Thresholds
from scheduler_bridge.store.queries import read_queries

QUERIES = read_queries(Path(__file__).with_name("audit.sql"))
SHOWN_IDS = 20
MOST_IDS = 1000  # of one check, counted and remembered
ROWS = 100_000  # of jobqueue: the newest, and one slice of the others in each look; some 20 ms each
ATTEMPTS = 50_000  # ended ones of the ledger; more than five minutes bring
OBSTACLES = 200  # parked jobs whose obstacle is asked for anew: some 0.2 ms each
LONGEST_SECONDS = 30  # an audit that takes longer is given up: its snapshot keeps dead rows alive

SNAPSHOT = "set transaction isolation level repeatable read, read only"
# After a start of the server nothing has been swept before it.
DATED = b"""
select f.id, f.since is not null from (%s) as f (id, since)
where f.since is null or f.since = '-infinity'
   or greatest(f.since, pg_postmaster_start_time()) < now() - make_interval(secs => %%(grace)s)
order by f.id limit %%(most)s
"""

Id = int | str
Suspects = Mapping[str, Mapping[str, str]]  # name -> id -> when first seen, ISO 8601


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should not be."""

    name: str
    ids: tuple[Id, ...]  # the first SHOWN_IDS
    count: int  # at most MOST_IDS

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return SENTENCES.get(self.name, "found by another version")


@dataclass(frozen=True, slots=True)
class Audit:
    """What one look has found."""

    at: datetime
    findings: tuple[Finding, ...]
    suspects: Suspects = field(default_factory=dict)  # with those that have become findings
    slice: int = 0  # jq_pk up to which older rows have been looked at
    new_suspects: int = 0  # no findings yet: they must be seen again


@dataclass(frozen=True, slots=True)
class Kept:
    """The last audit of housekeeping."""

    at: datetime
    read_at: datetime
    findings: tuple[Finding, ...]


def audit(connection: psycopg.Connection[Any], thresholds: Thresholds | None = None) -> Audit:
    """Ask all questions in one snapshot; nothing is written. A grace of 0: whatever is seen is a finding.

    Raises psycopg.Error, also when it takes longer than LONGEST_SECONDS.
    """
    limits = thresholds or Thresholds()
    with connection.transaction():
        connection.execute(SNAPSHOT)
        connection.execute(f"set local statement_timeout = {LONGEST_SECONDS * 1000}")
        now, high, slice_from, before = _rows(connection, QUERIES["bounds"], {})[0]
        values = _values(limits, high, slice_from, before)
        seen = {check.name: _rows(connection, DATED % QUERIES[check.name], values) for check in CHECKS}
    suspects = _remembered(seen, before, now)
    findings = [
        _finding(name, rows, suspects.get(name, {}), now - timedelta(seconds=limits.grace))
        for name, rows in seen.items()
    ]
    found = tuple(finding for finding in findings if finding.count)
    following = values["slice_to"] if values["slice_to"] < values["newest_above"] else 0
    fresh = sum(map(len, seen.values())) - sum(finding.count for finding in found)
    return Audit(now, found, suspects, following, fresh)


def remember(connection: psycopg.Connection[Any], found: Audit) -> None:
    """Keep what the next look must know."""
    connection.execute(QUERIES["remember"], {"suspects": Jsonb(found.suspects), "slice": found.slice})


def keep(connection: psycopg.Connection[Any], found: Audit) -> None:
    """Keep the result for whoever asks."""
    result = [{"name": f.name, "ids": f.ids, "count": f.count} for f in found.findings]
    connection.execute(QUERIES["keep"], {"at": found.at, "result": Jsonb(result)})


def kept(connection: psycopg.Connection[Any]) -> Kept | None:
    """The result that was kept last; None: none yet."""
    at, result, now = _rows(connection, QUERIES["latest"], {})[0]
    if at is None:
        return None
    return Kept(at, now, tuple(Finding(f["name"], tuple(f["ids"]), f["count"]) for f in result))


def _values(limits: Thresholds, high: int, slice_from: int, before: Suspects) -> dict[str, Any]:
    newest_above = max(0, high - ROWS)
    return {
        "grace": limits.grace,
        "slack": limits.slack,
        "mail": limits.mail,
        "ledger": limits.ledger,
        "attempts": ATTEMPTS,
        "obstacles": OBSTACLES,
        "most": MOST_IDS,
        "newest_above": newest_above,
        "slice_from": slice_from,
        "slice_to": min(slice_from + ROWS, newest_above),
        "lost_before": [int(job) for job in before.get("lost", {})],
    }


def _remembered(
    seen: Mapping[str, list[tuple[Id, bool]]], before: Suspects, now: datetime
) -> dict[str, dict[str, str]]:
    """Since when each thing that no row dates has been seen, without those that have gone."""
    suspects = {
        name: {str(id): before.get(name, {}).get(str(id), now.isoformat()) for id, dated in rows if not dated}
        for name, rows in seen.items()
    }
    return {name: ids for name, ids in suspects.items() if ids}


def _finding(
    name: str, rows: list[tuple[Id, bool]], first_seen: Mapping[str, str], until: datetime
) -> Finding:
    """Those that are dated, and those that had been seen by `until`."""
    ids = [id for id, dated in rows if dated or datetime.fromisoformat(first_seen[str(id)]) <= until]
    return Finding(name, tuple(ids[:SHOWN_IDS]), len(ids))


def _rows(connection: psycopg.Connection[Any], query: bytes, values: Mapping[str, Any]) -> list[Any]:
    # Never prepared: the bounds are what a plan must be made for.
    return connection.execute(query, values or None, prepare=False).fetchall()
