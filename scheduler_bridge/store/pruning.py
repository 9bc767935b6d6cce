"""Bounds what our schema and our folder of the repository remember; foreign tables and files are never touched.

Agents keep files in REPOSITORY/scheduler-bridge/STREAM/ATTEMPT. An attempt's folder is needed while its stream has
open jobs, and as long as the results name places in it; one that was killed leaves a folder that nothing names.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from scheduler_bridge.store.reading import Reading

OURS = "scheduler-bridge"  # as in workers/agents/unpack.py
DAY_SECONDS = 86_400
LARGEST_STREAM = 2**31 - 1

_NEEDED = """
select exists (select from scheduler_bridge.open_job o where o.stream = %(stream)s),
    (select f.location from scheduler_bridge.scan_file f
     where f.stream = %(stream)s and f.location is not null limit 1)"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What has been deleted."""

    attempts: int  # of the ledger, with their output
    streams: int  # whose results of agents are gone
    cached: int  # findings in content that no stream has used for so long
    folders: int  # of attempts, with the files in them


def prune_history(connection: psycopg.Connection[Any], days: int, repository: Path) -> Pruned:
    """Delete what ended more than `days` days ago, and files of ours below `repository` that nothing needs.

    A transaction for each stream, so that none takes long.
    """
    attempts = _count(connection, "select scheduler_bridge.prune_attempts(%s)", days)
    streams = Reading(connection).old_scans(days)
    for stream in streams:
        connection.execute("select scheduler_bridge.forget_scan(%s)", [stream])
    folders = _remove_files(connection, days, repository / OURS, frozenset(streams))
    cached = _count(connection, "select scheduler_bridge.trim_scan_cache(%s)", days)
    return Pruned(attempts, len(streams), cached, folders)


def _remove_files(
    connection: psycopg.Connection[Any], days: int, files: Path, forgotten: Container[int]
) -> int:
    """Remove the folders of attempts that nothing needs, of streams that were forgotten or when they are as old."""
    oldest = Reading(connection).now().timestamp() - days * DAY_SECONDS
    removed = 0
    for folder in _folders(files):
        number = folder.name
        if not (number.isascii() and number.isdecimal() and int(number) <= LARGEST_STREAM):
            continue
        row = connection.execute(_NEEDED, {"stream": int(number)}).fetchone()
        assert row is not None
        is_open, location = row
        if is_open:
            continue
        for attempt in _folders(Path(folder)):
            named = location is not None and os.fsencode(f"/{number}/{attempt.name}/") in location
            if not named and (int(number) in forgotten or _changed_at(attempt) < oldest):
                shutil.rmtree(attempt, ignore_errors=True)
                removed += 1
        with suppress(OSError):  # something is in it
            Path(folder).rmdir()
    return removed


def _folders(parent: Path) -> list[os.DirEntry[str]]:
    """Folders in a folder, none that is only linked to; nothing where it is missing or cannot be read."""
    try:
        with os.scandir(parent) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _changed_at(folder: os.DirEntry[str]) -> float:
    """Seconds since the epoch; one that has gone meanwhile is not old."""
    try:
        return folder.stat(follow_symlinks=False).st_mtime
    except OSError:
        return math.inf


def _count(connection: psycopg.Connection[Any], statement: str, days: int) -> int:
    row = connection.execute(statement, [days]).fetchone()
    assert row is not None
    return int(row[0])
