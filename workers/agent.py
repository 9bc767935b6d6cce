"""One running process of an agent type: its process, its conversation and where it is in its lifecycle."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

from scheduler_bridge.model.agents import AgentType
from workers.lifecycle import AgentEvent, AgentState, advance
from workers.process import AgentProcess, SpawnError, spawn
from workers.protocol import NEED_DATA, Conversation, Dialect

CHATTER_READS = 16  # of up to 64 KiB each, as much as any pipe holds


class Agent:
    """Begins FREE; used by one thread at a time, which is its session's while there is one."""

    def __init__(self, agent_type: AgentType) -> None:
        self.agent_type = agent_type
        self.state = AgentState.FREE
        self.conversation = Conversation()
        self.died = False  # ended without having been told to and without having said so
        self._nice = 0
        self._process: AgentProcess | None = None

    @property
    def process(self) -> AgentProcess:
        """Its process; only after `start`."""
        assert self._process is not None, "the agent has not been started"
        return self._process

    def start(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None, nice: int = 0
    ) -> None:
        """Start the program in its own folder; SpawnError if that is impossible."""
        self.advance(AgentEvent.CHOSEN)
        try:
            self._process = spawn(argv, argv[0].rpartition("/")[0] or "/", environment=environment, nice=nice)
        except SpawnError:
            self.advance(AgentEvent.NOT_SPAWNED)
            raise
        self._nice = nice
        self.advance(AgentEvent.SPAWNED)

    def advance(self, event: AgentEvent) -> None:
        """The one door to its state."""
        self.state = advance(self.state, event)

    @property
    def reusable(self) -> bool:
        """It has done its job, speaks the dialect of agents that stay, and waits for another one."""
        return (
            self.state is AgentState.READY
            and self.conversation.dialect is Dialect.PRE_2_0
            and self.process.exit_status() is None
        )

    def set_nice(self, nice: int) -> None:
        """Give it another nice value, -20 to 19, if it has not got it already."""
        if nice != self._nice:
            self._nice = nice
            self.process.set_nice(nice)

    def kill(self) -> None:
        """End the whole group now; harmless when it has ended."""
        if self.state is not AgentState.FREE:
            self.advance(AgentEvent.STOP)
            self.process.signal_group(signal.SIGKILL)

    def hang_up(self) -> None:
        """Begin the stop ladder without waiting for it: end of input and SIGHUP."""
        self.advance(AgentEvent.STOP)
        self.process.hang_up()

    def end(self, grace_seconds: float) -> bool:
        """Bring it to its end by the ladder and let go of it; an agent that has said BYE is given the
        grace first. False: not even SIGKILL has ended it yet, `reap` later."""
        if self.process.exit_status() is not None:
            return self.reap()
        leaving = self.state is AgentState.FREEING and self.conversation.ended
        self.advance(AgentEvent.STOP)
        return self._ended(self.process.end(grace_seconds, leaving=leaving))

    def finish(self, seconds: float) -> bool:
        """The rest of the ladder after `hang_up`; as `end`."""
        return self._ended(self.process.finish(seconds))

    def reap(self) -> bool:
        """Let go of it if it has ended."""
        return self._ended(self.process.reap())

    def _ended(self, ended: bool) -> bool:
        if ended:
            self.has_exited()
        return ended

    def has_exited(self) -> None:
        """Its process has ended, reaped or not; harmless when known."""
        if self.state is not AgentState.FREE:
            self.died = self.state is not AgentState.FREEING
            self.advance(AgentEvent.DEATH)

    def forget_chatter(self) -> bool:
        """Throw away what a waiting agent has printed between two jobs, a second OK above all; False: it
        cannot be given another job, since it has ended or does not stop printing."""
        for _ in range(CHATTER_READS):
            while self.conversation.next_message() is not NEED_DATA:
                pass
            data = self.process.read()
            if data is None:
                return self.process.exit_status() is None
            if not data:
                return False
            self.conversation.receive(data)
        return False
