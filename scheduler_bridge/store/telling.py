"""What a store tells the log of jobs that it has failed by itself, because nobody could ever run them.

The database says so in messages of the level INFO, which nothing else here uses: whoever's call has failed a job hears
it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.errors import Diagnostic

from scheduler_bridge.text import clean

LONGEST = 500  # characters; agent types are named by whoever writes the row

log = logging.getLogger(__name__)


def hear(connection: psycopg.Connection[Any]) -> None:
    """Log what our functions tell over a connection."""
    connection.add_notice_handler(_heard)


def tell_of_unknown(reasons: Mapping[int, str]) -> None:
    """Log, a line a reason, that agent types or hosts of jobs are unknown; as the database's function does."""
    for reason in dict.fromkeys(reasons.values()):
        jobs = sorted(job for job, why in reasons.items() if why == reason)
        who = f"job {jobs[0]}" if len(jobs) == 1 else f"jobs {jobs[0]} and {len(jobs) - 1} more"
        _tell(f"{who}: {reason}")


def _heard(message: Diagnostic) -> None:
    if message.severity_nonlocalized == "INFO":
        _tell(message.message_primary or "")


def _tell(line: str) -> None:
    log.error("%s", clean(line, LONGEST), extra={"action": "job_unknown"})
