"""Job streams, jobs, what a claim hands out and how a job ends.

A job's life as the bridge sees it (the row in `jobqueue` keeps FOSSology's own texts):

    WAITING -> PROPOSED -> CLAIMED -> STARTED -> ended
       ^          |           |          |
       +----------+-----------+----------+   refused, lease expired, returned
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class JobState(Enum):
    """Where an open job is."""

    WAITING = "waiting"
    PROPOSED = "proposed"  # a hint for it has been published
    CLAIMED = "claimed"  # leased to a worker, agent not ready yet
    STARTED = "started"  # the agent has said its first OK


class Ending(Enum):
    """How one attempt at a job ended."""

    COMPLETED = "completed"
    FAILED = "failed"  # the agent's own failure: the row fails
    RETURNED = "returned"  # stopped by its worker: the row is free again at once
    LOST = "lost"  # the lease moved on: nothing may be written about the row


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; a failure of an agent is this value and never an exception."""

    ending: Ending
    items: int = 0  # last count of the agent's heartbeats
    reason: str = ""  # for the operator: ledger and log; the row's text stays FOSSology's
    email: str | None = None  # what the agent wants to be said in the stream's mail


@dataclass(frozen=True, slots=True)
class Job:
    """An open row of `jobqueue` with its dependencies."""

    job: int  # jq_pk
    stream: int  # jq_job_fk
    agent_type: str  # jq_type
    host: str | None = None  # jq_host; None: any
    priority: int = 0  # job_priority of its stream; higher first
    needs: frozenset[int] = field(default_factory=frozenset)  # prerequisites that have not completed


@dataclass(frozen=True, slots=True)
class Work:
    """What a claim hands to a worker: one attempt at one job."""

    job: int
    stream: int
    agent_type: str
    epoch: int  # number of the attempt, from 1
    data: str = ""  # jq_args, one data line
    arguments: str = ""  # jq_cmd_args, appended to the agent's command line
    user: int = 0
    group: int = 0
    priority: int = 0
