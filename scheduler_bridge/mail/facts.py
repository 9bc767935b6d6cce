"""Reads what a mail says from FOSSology's tables; a database without them sends no mail."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from scheduler_bridge.mail.message import JobFacts, StreamFacts, obstacle
from scheduler_bridge.store.queries import read_queries

QUERIES = read_queries(Path(__file__).with_name("facts.sql"))
MOST_JOBS = 500  # listed in one mail


@dataclass(frozen=True, slots=True)
class Facts:
    """Reads over one connection in autocommit mode; not to be shared between threads."""

    connection: psycopg.Connection[Any]

    def lacking(self) -> list[str]:
        """Columns that mails are written from and the database lacks; empty: it is FOSSology's."""
        return [_text(row[0]) for row in self._rows("lacking")]

    def stream(self, stream: int, *, message: str = "", since: int = 0) -> StreamFacts | None:
        """A stream that has ended; None where it, its jobs or the tables are missing.

        Its jobs are read only where somebody wants the mail. `message` is the last text of EMAIL; `since` is a
        job no newer than the stream's first one: nothing older is read, where all of some million rows would
        take long.
        """
        if self.lacking():
            return None
        found = self._rows("stream", stream=stream)
        if not found:
            return None
        database, upload, upload_name, uploader, address, wanted, site, read_at = found[0]
        facts = StreamFacts(
            database=_text(database),
            stream=stream,
            ended_at=read_at,
            uploader=_text(uploader),
            address=None if address is None else _text(address).strip(),
            email_notify=wanted,
            upload=upload,
            upload_name=_text(upload_name),
            site=_text(site).strip(),
            message=message,
        )
        return self._with_jobs(facts, since) if obstacle(facts) is None else facts

    def smtp(self) -> dict[str, str]:
        """The settings of `sysconfig` whose names start with SMTP; empty on another database."""
        if self.lacking():
            return {}
        return {_text(name): _text(value) for name, value in self._rows("smtp")}

    def _with_jobs(self, facts: StreamFacts, since: int) -> StreamFacts | None:
        rows = self._rows("jobs", stream=facts.stream, since=since, most=MOST_JOBS)
        if not rows or rows[0][6] is None:
            return None
        *_, number, ended_at, last_job = rows[0]
        item, folder_name = self._place(facts.upload)
        return replace(
            facts,
            ended_at=ended_at,
            item=item,
            folder_name=folder_name,
            jobs=tuple(sorted((_job(row) for row in rows), key=lambda job: job.job)),
            left_out=number - len(rows),
            last_job=last_job,
        )

    def _place(self, upload: int | None) -> tuple[int | None, str]:
        if upload is None:
            return None, ""
        folders = [_text(row[0]) for row in self._rows("folders", upload=upload)]
        return self._rows("item", upload=upload)[0][0], "/".join(folders)

    def _rows(self, query: str, **values: Any) -> list[Any]:
        return self.connection.execute(QUERIES[query], values).fetchall()


def _job(row: Any) -> JobFacts:
    job, agent_type, bits, text, log, *_ = row
    return JobFacts(job, _text(agent_type), bits, _text(text), None if log is None else _text(log))


def _text(value: str | bytes) -> str:
    """Older databases are in SQL_ASCII, from which texts come as bytes, in any encoding."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
