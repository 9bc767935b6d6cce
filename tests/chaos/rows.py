"""Rows and ledger of a trial, as the database has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

ROWS = """
select q.jq_pk, q.jq_endtext, q.jq_end_bits, q.jq_itemsprocessed, extract(epoch from q.jq_endtime)::float8
from jobqueue q where q.jq_pk = any (%s)
"""
ATTEMPTS = """
select a.job, a.epoch, a.worker, a.host, a.agent_pid, a.ending, a.reason,
       extract(epoch from a.started_at)::float8, extract(epoch from a.ended_at)::float8,
       extract(epoch from a.claimed_at)::float8
from scheduler_bridge.attempt a where a.job = any (%s) order by a.job, a.epoch
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of jobqueue."""

    job: int
    text: str | None
    bits: int
    items: int | None
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of the ledger."""

    job: int
    epoch: int
    worker: str | None
    host: str | None
    pid: int | None
    ending: str | None
    reason: str
    started_at: float | None
    ended_at: float | None
    claimed_at: float = 0.0


def read(
    connection: psycopg.Connection[Any], numbers: Mapping[int, int]
) -> tuple[dict[int, Row], dict[int, list[Attempt]]]:
    """Rows and ledger of these jobs, by position."""
    positions = {job: position for position, job in numbers.items()}
    jobs = list(positions)
    rows = {positions[row[0]]: Row(*row) for row in connection.execute(ROWS, [jobs]).fetchall()}
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    for row in connection.execute(ATTEMPTS, [jobs]).fetchall():
        attempts[positions[row[0]]].append(Attempt(*row))
    return rows, dict(attempts)
