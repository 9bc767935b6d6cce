"""Rows for tests: `insert(connection, a_stream(a_job("unpack"), a_job("license", needs="unpack")))`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg


@dataclass(frozen=True, slots=True)
class JobRow:
    """A row of `jobqueue` to be; `needs` holds names of jobs of the same stream, or ids of any."""

    agent_type: str
    name: str
    needs: tuple[str | int, ...] = ()
    args: str | None = ""
    cmd_args: str | None = None
    host: str | None = None
    run_on_pfile: str | None = None


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A row of `job` to be, and its jobs in the order in which they are inserted."""

    jobs: tuple[JobRow, ...]
    name: str = "upload"
    priority: int = 0
    user: int | None = 2
    group: int | None = 3
    upload: int | None = 1


@dataclass(frozen=True, slots=True)
class Inserted:
    """Ids of what was inserted; indexed by the job's name."""

    stream: int
    jobs: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.jobs[name]


def a_job(
    agent_type: str, *, name: str | None = None, needs: str | int | tuple[str | int, ...] = (), **columns: Any
) -> JobRow:
    """A job named like its agent type unless told otherwise; `columns` are JobRow's other fields."""
    wanted = needs if isinstance(needs, tuple) else (needs,)
    return JobRow(agent_type, name or agent_type, wanted, **columns)


def a_stream(*jobs: JobRow, **columns: Any) -> StreamRow:
    """A job stream; `columns` are StreamRow's other fields."""
    return StreamRow(jobs, **columns)


def insert(connection: psycopg.Connection[Any], stream: StreamRow) -> Inserted:
    """Insert as FOSSology's pages do: one statement a row, prerequisites first, then the dependencies.

    On an autocommit connection each row is visible before the next is written, as in production.
    """
    inserted = Inserted(_insert_stream(connection, stream))
    for job in stream.jobs:
        inserted.jobs[job.name] = _insert_job(connection, inserted.stream, job)
        for need in job.needs:
            insert_dependency(
                connection, inserted[job.name], inserted[need] if isinstance(need, str) else need
            )
    return inserted


def insert_dependency(connection: psycopg.Connection[Any], job: int, needs: int) -> None:
    """Let `job` depend on `needs`."""
    connection.execute(
        "insert into public.jobdepends (jdep_jq_fk, jdep_jq_depends_fk) values (%s, %s)", [job, needs]
    )


def _insert_stream(connection: psycopg.Connection[Any], stream: StreamRow) -> int:
    return _id(
        connection.execute(
            "insert into public.job"
            " (job_queued, job_priority, job_name, job_upload_fk, job_user_fk, job_group_fk)"
            " values (now(), %s, %s, %s, %s, %s) returning job_pk",
            [stream.priority, stream.name, stream.upload, stream.user, stream.group],
        )
    )


def _insert_job(connection: psycopg.Connection[Any], stream: int, job: JobRow) -> int:
    return _id(
        connection.execute(
            "insert into public.jobqueue"
            " (jq_job_fk, jq_type, jq_args, jq_cmd_args, jq_host, jq_runonpfile)"
            " values (%s, %s, %s, %s, %s, %s) returning jq_pk",
            [stream, job.agent_type, job.args, job.cmd_args, job.host, job.run_on_pfile],
        )
    )


def _id(cursor: psycopg.Cursor[Any]) -> int:
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])
