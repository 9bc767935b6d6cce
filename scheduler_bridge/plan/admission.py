"""May this job start here and now, and if not, why?

The answer is a value: dispatch acts on it, status and the web page explain it. The PostgreSQL store asks the
same questions of the rows in the same order. Of several obstacles the first in that order is the answer: what
concerns the row comes before what concerns the host and the limits, which change all the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from scheduler_bridge.plan.numbers import listed

LOCAL_HOST = "localhost"  # where agent types with the LOCAL flag run: the host of that name


class ObstacleKind(Enum):
    """What keeps a job from starting; the values are stored."""

    ENDED = "ended"  # the row has ended
    ORPHAN = "orphan"  # the row of its job stream is gone
    TAKEN = "taken"  # claimed by another
    PAUSED = "paused"
    DOOMED = "doomed"  # a prerequisite failed; subject: job numbers
    NEEDS = "needs"  # prerequisites have not completed; subject: job numbers
    UNKNOWN_TYPE = "unknown_type"  # not configured; subject: agent type
    BACKOFF = "backoff"  # its last attempt failed and the next waits; subject: until when
    WRONG_HOST = "wrong_host"  # must run elsewhere; subject: host where it may
    EXCLUSIVE_RUNS = "exclusive_runs"  # a job that runs alone is running
    EXCLUSIVE_WAITS = "exclusive_waits"  # it runs alone and others run; subject: agent type
    HOST_FULL = "host_full"  # no free slot; subject: host
    TYPE_OFF = "type_off"  # its max is 0; subject: agent type
    TYPE_FULL = "type_full"  # as many run as may; subject: agent type
    NO_HOST = "no_host"  # no healthy host can run it; subject: agent type, and the only host that may
    BROKEN_TYPE = "broken_type"  # its agent type's .conf cannot be used; subject: what is wrong
    RESPAWN = "respawn"  # died too often on this host; subject: agent type

    @property
    def gone(self) -> bool:
        """Whether waiting does not help: the hint is dropped."""
        return self in _GONE


_GONE = frozenset(
    {
        ObstacleKind.ENDED,
        ObstacleKind.ORPHAN,
        ObstacleKind.TAKEN,
        ObstacleKind.DOOMED,
        ObstacleKind.UNKNOWN_TYPE,
    }
)

_SENTENCES = {
    ObstacleKind.ENDED: "it has already ended",
    ObstacleKind.ORPHAN: "the row of its job stream is gone",
    ObstacleKind.TAKEN: "another worker has claimed it",
    ObstacleKind.PAUSED: "it is paused",
    ObstacleKind.DOOMED: "it depends on failed jobs: {subject}",
    ObstacleKind.NEEDS: "it waits for jobs: {subject}",
    ObstacleKind.UNKNOWN_TYPE: "agent type {subject} is not configured",
    ObstacleKind.BACKOFF: "its last attempt failed: it is tried again at {subject}",
    ObstacleKind.WRONG_HOST: "it may only run on host {subject}",
    ObstacleKind.EXCLUSIVE_RUNS: "it waits for the end of a job that runs alone",
    ObstacleKind.EXCLUSIVE_WAITS: "agent type {subject} runs alone: it waits for all other jobs to end",
    ObstacleKind.HOST_FULL: "all slots of host {subject} are taken",
    ObstacleKind.TYPE_OFF: "max of agent type {subject} is 0: none may run until the configuration changes",
    ObstacleKind.TYPE_FULL: "as many agents of type {subject} run as its max allows",
    ObstacleKind.NO_HOST: "no healthy host can run agent type {subject}",
    ObstacleKind.BROKEN_TYPE: "its agent type cannot be used: {subject}",
    ObstacleKind.RESPAWN: "agents of type {subject} died too often on this host",
}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a job may not start."""

    kind: ObstacleKind
    subject: str = ""  # see the kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about a job and the host that asks for it; counts leave the job itself out."""

    agent_type: str
    host: str  # that asks
    host_slots: int  # agents at once on it
    host_running: int = 0  # agents of any type on it
    ended: bool = False
    orphan: bool = False  # the row of its job stream is gone
    taken: bool = False  # somebody holds an unexpired lease on it
    paused: bool = False
    doomed: tuple[int, ...] = ()  # prerequisites that failed
    needs: tuple[int, ...] = ()  # prerequisites that have not completed
    backoff: str = ""  # until when it waits for its next attempt
    type_known: bool = True  # configured
    type_running: int = 0  # over all hosts
    type_maximum: int | None = None  # None: no limit
    exclusive: bool = False  # its agent type runs alone over all hosts
    exclusive_running: bool = False  # a job of such a type is running
    others_running: int = 0  # jobs of any type over all hosts
    wanted_host: str | None = None  # None or empty: any
    is_local: bool = False  # its agent type has the LOCAL flag, which overrides the wanted host


def obstacle(facts: Facts) -> Obstacle | None:
    """The first obstacle in order of importance; None: the job may start."""
    return next((Obstacle(kind, subject) for kind, holds, subject in _questions(facts) if holds), None)


def explain(found: Obstacle) -> str:
    """The obstacle as a sentence for people, about "it", the job."""
    return _SENTENCES[found.kind].format(subject=found.subject)


def _questions(facts: Facts) -> Iterator[tuple[ObstacleKind, bool, str]]:
    """Kind, whether it applies, subject; the first that applies counts."""
    yield ObstacleKind.ENDED, facts.ended, ""
    yield ObstacleKind.ORPHAN, facts.orphan, ""
    yield ObstacleKind.TAKEN, facts.taken, ""
    yield ObstacleKind.PAUSED, facts.paused, ""
    yield ObstacleKind.DOOMED, bool(facts.doomed), listed(sorted(facts.doomed))
    yield ObstacleKind.NEEDS, bool(facts.needs), listed(sorted(facts.needs))
    yield ObstacleKind.UNKNOWN_TYPE, not facts.type_known, facts.agent_type
    yield ObstacleKind.BACKOFF, bool(facts.backoff), facts.backoff
    host = LOCAL_HOST if facts.is_local else facts.wanted_host or facts.host
    yield ObstacleKind.WRONG_HOST, host != facts.host, host
    yield ObstacleKind.EXCLUSIVE_RUNS, facts.exclusive_running, ""
    yield ObstacleKind.EXCLUSIVE_WAITS, facts.exclusive and facts.others_running > 0, facts.agent_type
    yield ObstacleKind.HOST_FULL, facts.host_running >= facts.host_slots, facts.host
    yield ObstacleKind.TYPE_OFF, facts.type_maximum == 0, facts.agent_type
    full = facts.type_maximum is not None and facts.type_running >= facts.type_maximum
    yield ObstacleKind.TYPE_FULL, full, facts.agent_type
