"""Bounds what our schema remembers; foreign tables are never touched."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from scheduler_bridge.store.reading import Reading


@dataclass(frozen=True, slots=True)
class Pruned:
    """What has been deleted."""

    attempts: int  # of the ledger, with their output
    streams: int  # whose results of agents are gone
    cached: int  # findings in content that no stream has used for so long


def prune_history(connection: psycopg.Connection[Any], days: int, repository: Path) -> Pruned:
    """Delete what ended more than `days` days ago, with the files that agents keep below `repository/STREAM`.

    A transaction for each stream, so that none takes long.
    """
    attempts = _count(connection, "select scheduler_bridge.prune_attempts(%s)", days)
    streams = Reading(connection).old_scans(days)
    for stream in streams:
        connection.execute("select scheduler_bridge.forget_scan(%s)", [stream])
        shutil.rmtree(repository / str(stream), ignore_errors=True)
    cached = _count(connection, "select scheduler_bridge.trim_scan_cache(%s)", days)
    return Pruned(attempts, len(streams), cached)


def _count(connection: psycopg.Connection[Any], statement: str, days: int) -> int:
    row = connection.execute(statement, [days]).fetchone()
    assert row is not None
    return int(row[0])
