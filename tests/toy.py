"""Toy agents, each good in one way or wrong in one way, and what is needed to run one."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from scheduler_bridge.model.agents import AgentType, Special
from scheduler_bridge.model.jobs import Outcome, Work
from workers.agent import Agent
from workers.job_log import JobLogs
from workers.orders import Order
from workers.session import Session
from workers.timing import Timers

AGENTS = Path(__file__).parent / "agents"
TIMERS = Timers(
    ready_seconds=20, death_seconds=20, update_seconds=20, grace_seconds=10, linger_seconds=10
)  # none of them is reached unless a test shortens it
GONE_SECONDS = 5.0
LONGEST_SECONDS = 60.0
pidfd_open = os.pidfd_open  # for ourselves, also where a test takes it away

Started = Callable[[Session, int], bool]


def at_once(session: Session, pid: int) -> bool:
    """The claim is ours."""
    return True


def toy_type(name: str, *special: Special) -> AgentType:
    """The agent type of a toy agent."""
    return AgentType(name, (name,), AGENTS, special=frozenset(special))


def toy_work(name: str, data: str = "42") -> Work:
    """One job for it."""
    return Work(job=7, stream=3, agent_type=name, epoch=1, data=data)


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a session, after its agent was ended."""

    outcome: Outcome
    session: Session
    pid: int
    seconds: float  # until the outcome
    text: str  # the session's output


class Running:
    """A session with a toy agent in a thread of its own."""

    def __init__(
        self,
        toy: str | AgentType,
        data: str = "42",
        *,
        timers: Timers = TIMERS,
        started: Started = at_once,
        orders: Sequence[Order] = (),
        logs: JobLogs | None = None,
    ) -> None:
        """`orders` are given before the session begins; in `logs` the job gets a log."""
        self._descriptors = open_descriptors()
        self._timers = timers
        agent_type = toy if isinstance(toy, AgentType) else toy_type(toy)
        name = agent_type.name
        self._agent = Agent(agent_type)
        self._agent.start([str(AGENTS / name)])
        self.pid = self._agent.process.pid
        self.session = Session(
            self._agent,
            toy_work(name, data),
            timers=timers,
            started=lambda pid: started(self.session, pid),
            log=logs.of(7, name, self.pid) if logs else None,
        )
        for order in orders:
            self.session.order(order)
        self._outcomes: list[Outcome] = []
        self._began = time.monotonic()
        self.seconds = 0.0  # until the outcome
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def outcome_within(self, seconds: float) -> Outcome | None:
        """The outcome, if it comes in this time."""
        self._thread.join(seconds)
        return self._outcomes[0] if self._outcomes else None

    def outcome(self) -> Outcome:
        """The outcome; then the agent is ended, and nothing of it may be left."""
        outcome = self.outcome_within(LONGEST_SECONDS)
        assert outcome is not None, "the session does not end"
        assert self._agent.end(self._timers.grace_seconds)
        assert_gone(self.pid)
        assert open_descriptors() <= self._descriptors
        return outcome

    def _run(self) -> None:
        self._outcomes.append(self.session.run())
        self.seconds = time.monotonic() - self._began


def play(
    name: str,
    data: str = "42",
    *,
    timers: Timers = TIMERS,
    special: tuple[Special, ...] = (),
    started: Started = at_once,
    logs: JobLogs | None = None,
) -> Played:
    """A whole session with a toy agent; nothing of it is left afterwards."""
    running = Running(toy_type(name, *special), data, timers=timers, started=started, logs=logs)
    outcome = running.outcome()
    session = running.session
    return Played(outcome, session, running.pid, running.seconds, session.output().decode())


def shortened(**seconds: float) -> Timers:
    """TIMERS with some of them shorter."""
    return replace(TIMERS, **seconds)  # type: ignore[arg-type]


def open_descriptors() -> set[tuple[str, Path]]:
    """Number and file of what this process has open. What others have open may be closed at any time."""
    found = set()
    for number in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # that of the listing itself
            found.add((number.name, number.readlink()))
    return found


def members_of(group: int) -> list[int]:
    """Processes of a group that are not dead."""
    return [
        process.pid
        for process in psutil.process_iter(["status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and _group_of(process.pid) == group
    ]


def assert_gone(group: int) -> None:
    """Nothing of the group is left, or it has been killed and is gone in a moment."""
    for pid in members_of(group):
        try:
            pidfd = pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended = select.select([pidfd], [], [], GONE_SECONDS)[0]
        os.close(pidfd)
        assert ended, f"process {pid} of group {group} is still there"


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
