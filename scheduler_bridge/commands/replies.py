"""The bytes that clients are answered, as FOSSology's scheduler writes them; web pages take them apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

RECEIVED = b"received\n"  # the first reply to every word
CLOSE = b"CLOSE\n"
NOT_AUTHORIZED = b"ERROR: not authorized\n"
END_OF_STATUS = b"end\n\0"  # the NUL has always been there
END_OF_LIST = b"\nend\n"
MASK_HEADING = b"mask:       h d i e s a j\n"
LOWEST_MASK = 8  # smaller verbosities are levels
MASK_BITS = 16


class JobStatus(StrEnum):
    """Where a job is, in the words of FOSSology's scheduler."""

    CHECKEDOUT = "CHECKEDOUT"  # waiting
    STARTED = "STARTED"
    COMPLETE = "COMPLETE"
    RESTART = "RESTART"  # goes on after a pause
    FAILED = "FAILED"
    PAUSED = "PAUSED"


class AgentStatus(StrEnum):
    """Where an agent is, in the words of FOSSology's scheduler."""

    CREATED = "CREATED"
    SPAWNED = "SPAWNED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class SchedulerLine:
    """The scheduler as `status` shows it."""

    pid: int
    revision: str  # COMMIT_HASH of the folder's VERSION
    daemon: bool
    jobs: int  # open ones
    log: str  # path
    port: int
    verbose: int


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job as `status` shows it."""

    job: int
    state: JobStatus
    agent_type: str
    priority: int = 0
    running: int = 0  # agents
    finished: int = 0  # agents
    failed: int = 0  # agents


@dataclass(frozen=True, slots=True)
class AgentLine:
    """An agent as `status JOB` shows it."""

    pid: int
    host: str
    agent_type: str
    state: AgentStatus
    checked_in: datetime  # of its last sign of life; shown in this machine's time zone


@dataclass(frozen=True, slots=True)
class HostLine:
    """A host as `load` shows it."""

    name: str
    address: str
    maximum: int  # agents at once
    running: int  # agents


def status(scheduler: SchedulerLine, jobs: Iterable[JobLine]) -> bytes:
    """Reply to `status`."""
    lines = b"".join(_job(line) for line in sorted(jobs, key=lambda line: line.job))
    return _scheduler(scheduler) + lines + END_OF_STATUS


def job_status(job: JobLine, agents: Iterable[AgentLine]) -> bytes:
    """Reply to `status JOB`."""
    return _job(job) + b"".join(map(_agent, agents)) + END_OF_STATUS


def no_such_job(job: int) -> bytes:
    """Reply to `status JOB` where there is none."""
    return b"ERROR: invalid job id = %d\n" % job + END_OF_STATUS


def agents(names: Iterable[str]) -> bytes:
    """Reply to `agents`."""
    return b"".join(_field(name) + b" " for name in sorted(names)) + END_OF_LIST


def load(hosts: Iterable[HostLine]) -> bytes:
    """Reply to `load`, in the order given."""
    lines = (
        b"host:%b address:%b max:%d running:%d\n"
        % (_field(host.name), _field(host.address), host.maximum, host.running)
        for host in hosts
    )
    return b"".join(lines) + END_OF_LIST


def verbosity(level: int) -> bytes:
    """Reply to `verbose`: a level, or the bits of a mask with the lowest first."""
    if level < LOWEST_MASK:
        return b"level: %d\n" % level
    bits = b"".join(b"1 " if level >> bit & 1 else b"0 " for bit in range(MASK_BITS))
    return MASK_HEADING + b"mask: " + bits + b"\n"


def _scheduler(line: SchedulerLine) -> bytes:
    return b"scheduler:%d revision:%b daemon:%d jobs:%d log:%b port:%d verbose:%d\n" % (
        line.pid,
        _field(line.revision),
        line.daemon,
        line.jobs,
        _field(line.log),
        line.port,
        line.verbose,
    )


def _job(line: JobLine) -> bytes:
    return b"job:%d status:JOB_%b type:%b, priority:%d running:%d finished:%d failed:%d\n" % (
        line.job,
        line.state.encode(),
        _field(line.agent_type),
        line.priority,
        line.running,
        line.finished,
        line.failed,
    )


def _agent(line: AgentLine) -> bytes:
    when = line.checked_in.astimezone().replace(microsecond=0, tzinfo=None)
    return b"agent:%d host:%b type:%b status:AGENT_%b time:%b\n" % (
        line.pid,
        _field(line.host),
        _field(line.agent_type),
        line.state.encode(),
        when.isoformat(" ").encode(),
    )


def _field(text: str) -> bytes:
    """A text from a row or a file must not end its line, or the reply."""
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "?" for character in text)
    return text.encode("utf-8", "replace")
