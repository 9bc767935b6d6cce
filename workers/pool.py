"""The agents of this host: started for a job, kept warm if they are of the kind that stays, ended.

Today's agents live for one job. A pre-2.0 agent waits for the next job of its type: at least 20 s, in case
one comes, and at most 15 min. Agents that work and agents that wait do not outnumber the host's slots
together, except in those 20 s. Nothing here waits while it holds the lock: an agent that is told to end to
make room is looked after by `retire`, which the owner calls about once a second.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from scheduler_bridge.model.agents import AgentType
from workers.agent import Agent
from workers.command_line import whoever_the_job
from workers.lifecycle import AgentEvent, AgentState
from workers.process import SpawnError
from workers.protocol import Dialect
from workers.respawn import RespawnBudget, may_retire, must_retire


class RespawnExhausted(Exception):
    """Agents of this type died too often; none is started for a while."""

    def __init__(self, agent_type: str, seconds: float) -> None:
        super().__init__(f"agents of type {agent_type} died too often: not started for {seconds:.0f} seconds")
        self.agent_type = agent_type
        self.seconds = seconds  # until one may be started again


@dataclass(slots=True)
class _Kind:
    """What is known of an agent type whose agents stay."""

    budget: RespawnBudget = field(default_factory=RespawnBudget)
    failed: Agent | None = None  # the one whose death spent the budget


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A warm agent."""

    agent: Agent
    alike: tuple[str, ...]  # its command line as far as it matters to another job
    since: float


@dataclass(frozen=True, slots=True)
class _Leaving:
    """An agent that has been told to end."""

    agent: Agent
    kill_at: float


class AgentPool:
    """All agents of one host, used by many threads; `now` and `clock` are seconds of one steady clock."""

    def __init__(
        self, maximum: int, *, grace_seconds: float = 20.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`maximum`: agents that may work and wait at once, the host's slots."""
        self._maximum = maximum
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._lock = Lock()
        self._working: dict[Agent, tuple[str, ...]] = {}  # each with its command line, as in _Waiting
        self._waiting: list[_Waiting] = []  # longest idle first
        self._leaving: list[_Leaving] = []
        self._kinds: dict[str, _Kind] = {}
        self._closed = False

    def acquire(
        self,
        agent_type: AgentType,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        nice: int = 0,
    ) -> Agent:
        """A warm READY agent, or a newly started one; SpawnError or RespawnExhausted if there can be none.

        `argv` is what `command_line` builds; without an `environment` the agent inherits ours. Whoever
        acquires must release, also after an exception of the session.
        """
        alike = whoever_the_job(argv)
        now = self._clock()
        with self._lock:
            warm = self._take_warm(agent_type.name, alike, now)
            if warm is None:
                self._refuse_if_failed(agent_type.name, now)
                self._make_room(now, coming=1)
            agent = warm or Agent(agent_type)
            self._working[agent] = alike
        if warm is not None:
            warm.set_nice(nice)
            return warm
        try:
            agent.start(argv, environment=environment, nice=nice)
        except SpawnError:
            with self._lock:
                del self._working[agent]
            raise
        return agent

    def seconds_until_start(self, name: str) -> float:
        """How long an agent type can have no agent here: none may be started and none waits; 0: ask for one."""
        with self._lock:
            kind = self._kinds.get(name)
            if (
                kind is None
                or kind.failed is None
                or any(w.agent.agent_type.name == name for w in self._waiting)
            ):
                return 0.0
            return kind.budget.seconds_left(self._clock())

    def release(self, agent: Agent, now: float) -> None:
        """After a session: keep a healthy pre-2.0 agent warm; end any other, however long that takes."""
        with self._lock:
            alike = self._working.pop(agent)
            if agent.reusable and not self._closed:
                self._kinds.setdefault(agent.agent_type.name, _Kind())
                self._waiting.append(_Waiting(agent, alike, now))
                if len(self._waiting) > self._maximum:
                    self._dismiss(self._waiting[0], now)
                return
        ended = agent.end(self._grace_seconds)
        with self._lock:
            if ended:
                self._note_end(agent, now)
            else:
                self._leaving.append(_Leaving(agent, now))

    def retire(self, now: float) -> None:
        """Look after agents nobody uses: dead, idle for too long, in the way, or leaving."""
        with self._lock:
            for waiting in list(self._waiting):
                if must_retire(waiting.since, now):
                    self._dismiss(waiting, now)
                elif not waiting.agent.forget_chatter():
                    self._discard(waiting, now)
            self._make_room(now, coming=0)
            for leaving in list(self._leaving):
                if leaving.agent.reap():
                    self._leaving.remove(leaving)
                    self._note_end(leaving.agent, now)
                elif now >= leaving.kill_at:
                    leaving.agent.kill()

    def kill_working(self) -> None:
        """Kill the agents of sessions that do not take orders any more, before this process ends."""
        with self._lock:
            working = list(self._working)
        for agent in working:
            if agent.state not in (AgentState.FREE, AgentState.PREP):  # it has a process
                agent.process.signal_group(signal.SIGKILL)

    def close(self, grace_seconds: float) -> None:
        """End all agents that wait or leave; those that work end with their sessions, and none is kept."""
        now = self._clock()
        with self._lock:
            self._closed = True
            for waiting in list(self._waiting):
                self._dismiss(waiting, now)
            leaving, self._leaving = self._leaving, []
        for one in leaving:
            one.agent.finish(max(0.0, now + grace_seconds - self._clock()))

    def _take_warm(self, name: str, alike: tuple[str, ...], now: float) -> Agent | None:
        """The agent of this type that has idled least; a dead one on the way there is buried."""
        for waiting in reversed(self._waiting.copy()):
            if waiting.agent.agent_type.name == name and waiting.alike == alike:
                if waiting.agent.forget_chatter():
                    self._waiting.remove(waiting)
                    return waiting.agent
                self._discard(waiting, now)
        return None

    def _refuse_if_failed(self, name: str, now: float) -> None:
        kind = self._kinds.get(name)
        if kind is None or kind.failed is None:
            return
        seconds = kind.budget.seconds_left(now)
        if seconds > 0:
            raise RespawnExhausted(name, seconds)
        kind.failed.advance(AgentEvent.BUDGET_RESTORED)
        kind.failed = None

    def _make_room(self, now: float, *, coming: int) -> None:
        """Dismiss the longest idle, unless they may still be waited for."""
        excess = len(self._working) + len(self._waiting) + coming - self._maximum
        for waiting in self._waiting[: max(0, excess)]:
            if may_retire(waiting.since, now):
                self._dismiss(waiting, now)

    def _dismiss(self, waiting: _Waiting, now: float) -> None:
        self._waiting.remove(waiting)
        waiting.agent.hang_up()
        self._leaving.append(_Leaving(waiting.agent, now + self._grace_seconds))

    def _discard(self, waiting: _Waiting, now: float) -> None:
        """Dismiss an agent that cannot be used, or bury it if it has died."""
        if waiting.agent.reap():
            self._waiting.remove(waiting)
            self._note_end(waiting.agent, now)
        else:
            self._dismiss(waiting, now)

    def _note_end(self, agent: Agent, now: float) -> None:
        """Count the death of an agent whose type stays, if nobody had asked for it."""
        if agent.conversation.dialect is Dialect.PRE_2_0:
            kind = self._kinds.setdefault(agent.agent_type.name, _Kind())
        elif agent.agent_type.name in self._kinds:  # it died before its first line
            kind = self._kinds[agent.agent_type.name]
        else:
            return
        if not agent.died:
            kind.budget.ended_in_order()
            return
        kind.budget.died(now)
        if kind.failed is None and kind.budget.seconds_left(now) > 0:
            agent.advance(AgentEvent.BUDGET_SPENT)
            kind.failed = agent
