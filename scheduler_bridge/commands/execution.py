"""Carries out commands against what the database and the process offer, and makes the replies."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from scheduler_bridge.commands import replies
from scheduler_bridge.commands.grammar import (
    Agents,
    Close,
    Command,
    Database,
    Die,
    Kill,
    Load,
    Pause,
    Priority,
    Reload,
    Restart,
    Status,
    Stop,
    Verbose,
    invalid,
)
from scheduler_bridge.commands.replies import AgentLine, HostLine, JobLine, SchedulerLine

log = logging.getLogger(__name__)

LOWEST, HIGHEST = -(2**31), 2**31 - 1  # numbers of rows and levels are int4


class Orders(Protocol):
    """What the database knows and is told. Called from several threads at once; may raise psycopg.Error."""

    def observe(self) -> None:
        """Take in rows that are new, so that what follows sees them."""
        ...

    def open_jobs(self) -> Sequence[JobLine]:
        """Every job that has not ended, in any order."""
        ...

    def job(self, job: int) -> tuple[JobLine, Sequence[AgentLine]] | None:
        """One job with its running agents; None where it has ended or never was."""
        ...

    def kill(self, job: int, text: str) -> bool:
        """End it as failed with `text` for a reason; whether there is such a job."""
        ...

    def pause(self, job: int) -> bool:
        """Stop it; whether there is such a job."""
        ...

    def restart(self, job: int) -> bool:
        """Let it go on; whether there is such a job and it was paused."""
        ...

    def set_priority(self, job: int, level: int) -> bool:
        """Give its stream the priority; whether there is such a job."""
        ...

    def set_job_verbosity(self, job: int, level: int) -> bool:
        """Tell its agents; whether there is such a job."""
        ...

    def hosts(self) -> Sequence[HostLine]:
        """The hosts of the configuration, in its order."""
        ...

    def agent_types(self) -> Sequence[str]:
        """Names of those that can be used, in any order."""
        ...


class Control(Protocol):
    """The process behind the port. Called from several threads at once; nothing here may wait.

    `stop` and `die` only take note: the reply goes out after they return, while `CommandPort.stop` waits for it.
    """

    verbosity: int  # level or mask of the scheduler's own log

    def scheduler_line(self) -> SchedulerLine:
        """What it is; the number of jobs is filled in by the caller."""
        ...

    def wake(self) -> None:
        """Look at the rows now."""
        ...

    def reload(self) -> None:
        """Read the configuration folder again."""
        ...

    def stop(self) -> None:
        """End once everything that runs has ended."""
        ...

    def die(self) -> None:
        """End now."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets after `received`."""

    reply: bytes = b""
    closes: bool = False  # it was the last reply of the connection


class Execution:
    """Answers commands; may be asked by several threads at once."""

    def __init__(self, orders: Orders, control: Control) -> None:
        self._orders = orders
        self._control = control

    def answer(self, command: Command) -> Answer:
        """Carry out one command. Raises what Orders raises."""
        match command:
            case Status():
                return Answer(self._status(command.job))
            case Agents():
                return Answer(replies.agents(self._orders.agent_types()))
            case Load():
                return Answer(replies.load(self._orders.hosts()))
            case Verbose():
                return Answer(self._verbosity(command))
            case Kill() | Pause() | Restart() | Priority():
                self._tell(command)
                return Answer()
            case Database() | Reload() | Stop() | Die() | Close():
                return self._govern(command)

    def _status(self, job: int | None) -> bytes:
        self._orders.observe()  # a page that has queued jobs looks for them here and believes what it sees
        if job is None:
            jobs = self._orders.open_jobs()
            return replies.status(replace(self._control.scheduler_line(), jobs=len(jobs)), jobs)
        found = self._orders.job(job) if _fits(job) else None
        return replies.no_such_job(job) if found is None else replies.job_status(*found)

    def _verbosity(self, command: Verbose) -> bytes:
        job, level = command.job, command.level
        if level is None:
            return replies.verbosity(self._control.verbosity)
        if job is not None:
            known = _fits(job) and _fits(level) and self._orders.set_job_verbosity(job, level)
            return b"" if known else invalid(b"verbose", command.sent)
        if _fits(level):
            self._control.verbosity = level
        else:
            log.warning("there is no verbosity %d", level, extra={"action": "command_ignored"})
        return b""

    def _tell(self, command: Kill | Pause | Restart | Priority) -> None:
        if not self._ordered(command):
            word = type(command).__name__.lower()
            text = "ignored %s %d: there is no job for it"
            log.warning(text, word, command.job, extra={"action": "command_ignored", "job": command.job})
        elif isinstance(command, Restart):
            self._control.wake()

    def _ordered(self, command: Kill | Pause | Restart | Priority) -> bool:
        if not _fits(command.job):
            return False
        match command:
            case Kill(job, text):
                return self._orders.kill(job, text)
            case Pause(job):
                return self._orders.pause(job)
            case Restart(job):
                return self._orders.restart(job)
            case Priority(job, level):
                return _fits(level) and self._orders.set_priority(job, level)

    def _govern(self, command: Database | Reload | Stop | Die | Close) -> Answer:
        match command:
            case Database():
                self._control.wake()
            case Reload():
                self._control.reload()
            case Stop():
                self._control.stop()
            case Die():
                self._control.die()
        closes = isinstance(command, Stop | Die | Close)
        return Answer(replies.CLOSE if closes else b"", closes=closes)


def _fits(number: int) -> bool:
    """Whether a row can have it; of one that cannot be there is none."""
    return LOWEST <= number <= HIGHEST
