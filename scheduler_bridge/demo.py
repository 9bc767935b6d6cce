"""What `scheduler-bridge run` shows: one scan by the shipped agents, followed to its report."""

from __future__ import annotations

import json
import os
import sysconfig
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from scheduler_bridge.errors import BridgeError
from scheduler_bridge.model.jobs import Ending
from scheduler_bridge.status import reason
from scheduler_bridge.store.read_model import JobReading, StreamReading
from scheduler_bridge.store.reading import Reading
from scheduler_bridge.store.submission import submit
from scheduler_bridge.stream_file import StreamFile, StreamJob

FIRST = "unpack"
SCANNERS = ("mimetype", "license", "copyright")
LAST = "report"
START_SECONDS = 120.0  # until the first job has been claimed; a slow machine needs some ten
LAST_LINES = 20  # of a failed agent's output


def installed_packages() -> list[str]:
    """The project's own dependencies: what there is to scan on every machine."""
    paths = sysconfig.get_paths()
    return sorted({os.path.realpath(paths[name]) for name in ("purelib", "platlib")})


def scan_of(paths: Sequence[str]) -> StreamFile:
    """The default stream over absolute paths: unpack, then the scanners at once, then the report."""
    # ASCII, with escapes for what is no UTF-8: PostgreSQL keeps it, and the agent gets the same bytes back.
    data = json.dumps(list(paths))
    scanners = tuple(range(1, 1 + len(SCANNERS)))
    jobs = (
        _job(FIRST, data),
        *(_job(agent, needs=(0,)) for agent in SCANNERS),
        _job(LAST, needs=scanners),
    )
    name = " ".join(path.encode("utf-8", "backslashreplace").decode() for path in paths)
    return StreamFile("run", f"scan of {name}", 0, jobs, tuple(range(len(jobs))))


def _job(agent: str, args: str = "", needs: tuple[int, ...] = ()) -> StreamJob:
    return StreamJob(agent, agent, args, "", needs, host=None, priority=0, line=0)


class Scan:
    """One submitted scan."""

    def __init__(self, connection: psycopg.Connection[Any], paths: Sequence[str]) -> None:
        """Submits it."""
        self._reading = Reading(connection)
        self.stream = next(iter(submit(connection, scan_of(paths)).streams))
        self.last = self._read()  # the stream as it was last seen
        self.files = 0  # to be scanned; 0: not known yet
        self._give_up_at = time.monotonic() + START_SECONDS

    def look(self) -> None:
        """Bring `last` and `files` up to date. Raises BridgeError when nothing starts."""
        self.last = self._read(self.last)
        if not self.files and any(job.agent_type == FIRST and job.ended for job in self.last.jobs):
            self.files = self._reading.files_to_scan(self.stream)
        if not any(job.epoch for job in self.last.jobs) and time.monotonic() > self._give_up_at:
            first = self.last.jobs[0]
            raise BridgeError(f"job {first.job} ({first.agent_type}) did not start: {reason(first)}")

    @property
    def ended(self) -> bool:
        """Whether no job is open any more."""
        return not self.last.summary.open

    @property
    def failed(self) -> list[JobReading]:
        """Jobs that have failed, the first one first."""
        return [job for job in self.last.jobs if job.state is Ending.FAILED]

    def last_lines(self, job: JobReading) -> list[str]:
        """The end of what the agent of a job has printed."""
        found = self._reading.output(job.job, job.epoch)
        return found[0].decode("utf-8", "replace").splitlines()[-LAST_LINES:] if found else []

    def report(self) -> str:
        """The report as Markdown. Raises BridgeError where none was written."""
        text = self._reading.report(self.stream)
        if text is None:
            raise BridgeError(f"stream {self.stream} has ended without a report")
        return text

    def _read(self, before: StreamReading | None = None) -> StreamReading:
        found = self._reading.stream(self.stream, before)
        if found is None:
            raise BridgeError(f"stream {self.stream} has been deleted")
        return found
