"""Agent types and hosts: what may run, where, and how many at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from scheduler_bridge.model.jobs import Ending


class Special(Enum):
    """A `special[]` flag of an agent's configuration file."""

    EXCLUSIVE = "EXCLUSIVE"  # runs alone over all hosts
    NOKILL = "NOKILL"  # never stopped for silence
    NOEMAIL = "NOEMAIL"  # its end sends no mail
    LOCAL = "LOCAL"  # only on the host named localhost


@dataclass(frozen=True, slots=True)
class Retry:
    """When a job is tried again; the default is FOSSology's: never after the agent's own failure."""

    attempts: int = 10  # that failed or were lost; the job is given up with the last
    endings: frozenset[Ending] = frozenset({Ending.LOST})  # FAILED, LOST: after which it is tried again
    backoff_seconds: float = 0.0  # before the second attempt, doubled for each later one, at most an hour


@dataclass(frozen=True, slots=True)
class AgentType:
    """A configured program, as `mods-enabled/NAME/NAME.conf` describes it."""

    name: str  # the directory's name, equal to jq_type
    command: tuple[str, ...]  # first word: program below `directory`; the rest: its first arguments
    directory: Path  # mods-enabled/NAME/agent
    maximum: int | None = None  # running at once over all hosts; None: no limit
    special: frozenset[Special] = field(default_factory=frozenset)
    retry: Retry = Retry()

    @property
    def program(self) -> Path:
        """The executable; relative parts such as `../../spdx/agent/spdx` are allowed, as today."""
        return self.directory / self.command[0]


@dataclass(frozen=True, slots=True)
class Host:
    """A machine for agents."""

    name: str  # equal to jq_host where a row asks for one
    slots: int  # agents at once
    address: str | None = None  # as [HOSTS] has it; shown, never used
