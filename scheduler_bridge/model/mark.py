"""Whose an agent is: the mark that a worker leaves in the environment of its agents, and of all they start.

A process's number is given away again once it has ended, and means nothing in another pid namespace. A worker's
life is therefore told by its number, its start and its namespace together. Anybody may write a mark: one that is
not exactly what a worker writes is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Not a name of the settings' kind: agents may start us again, and a setting that is unknown is refused.
VARIABLE = "AGENT_OF_SCHEDULER_BRIDGE"
STARTED_FIELD = 22  # of /proc/PID/stat, counted from 1; see proc(5)
NAME_FIELD = 2  # in parentheses, with any characters in it
DEAD_STATES = frozenset("ZXx")

_KEY = VARIABLE.encode() + b"="
_MARK = re.compile(
    rb"(?:\A|\0)"
    + _KEY
    + rb"([0-9a-f]{16})/([1-9][0-9]{0,18})/([1-9][0-9]{0,6})/([0-9]{1,18})/([!-~]{1,300})(?:\0|\Z)"
)
_LIFE = re.compile(r"\.([1-9][0-9]{0,6})-([0-9]{1,18})-([1-9][0-9]{0,18})\Z")


@dataclass(frozen=True, slots=True)
class Life:
    """One process, never mistaken for another that has its number later."""

    namespace: int  # inode of the pid namespace in which the number counts
    pid: int
    started: int  # clock ticks after the machine's start


def named_with_life(name: str, life: Life) -> str:
    """A name that no later process will have."""
    return f"{name}.{life.pid}-{life.started}-{life.namespace}"


def life_in_name(owner: str) -> Life | None:
    """The life of a process that the rows name; None where the name does not tell."""
    found = _LIFE.search(owner)
    if found is None:
        return None
    pid, started, namespace = map(int, found.groups())
    return Life(namespace, pid, started)


@dataclass(frozen=True, slots=True)
class Mark:
    """What is in the environment of an agent."""

    installation: str  # 16 hexadecimal digits, the same for all workers on one database
    worker: Life
    owner: str  # the worker as the rows name it; for people

    def __str__(self) -> str:
        life = self.worker
        return f"{self.installation}/{life.namespace}/{life.pid}/{life.started}/{self.owner}"


@dataclass(frozen=True, slots=True)
class Stat:
    """What is needed of /proc/PID/stat."""

    state: str  # one letter
    parent: int
    started: int  # clock ticks after the machine's start

    @property
    def dead(self) -> bool:
        """It does nothing any more, though nobody may have asked how it ended."""
        return self.state in DEAD_STATES


def read_mark(environ: bytes) -> Mark | None:
    """The mark in the content of /proc/PID/environ; None where there is none or a garbled one."""
    if _KEY not in environ:  # nearly all processes: ten times as fast as the pattern
        return None
    found = _MARK.search(environ)
    if found is None:
        return None
    installation, namespace, pid, started, owner = found.groups()
    return Mark(installation.decode(), Life(int(namespace), int(pid), int(started)), owner.decode())


def read_stat(stat: bytes) -> Stat | None:
    """The content of /proc/PID/stat; None for anything else."""
    fields = stat.rpartition(b")")[2].split()
    if len(fields) < STARTED_FIELD - NAME_FIELD:
        return None
    return Stat(fields[0].decode(), int(fields[1]), int(fields[STARTED_FIELD - NAME_FIELD - 1]))
