"""The start-up test: can this host run an agent type at all? One agent is started, given nothing, and told to end.

    today's (`VERSION: 1.0`)                         pre-2.0 (`OK`)
    agent   VERSION: 1.0                             agent   OK
    agent   OK                                       we      end of input
    we      CLOSE                                    agent   ends
    agent   BYE 0, ends

It is a session with other rules and an errand of no job: all timers count, and NOKILL and SPECIAL switch them off as in
a job. Whatever happens, the agent's whole group is killed in the end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scheduler_bridge.model.agents import AgentType
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from workers.agent import Agent
from workers.channel import Channel
from workers.command_line import command_line
from workers.conduct import Conduct
from workers.lifecycle import AgentEvent, AgentState
from workers.messages import Close
from workers.orders import Abandon
from workers.process import SpawnError
from workers.protocol import Dialect
from workers.session import Session
from workers.timing import Phase, Timers

LONGEST_SECONDS = (
    600.0  # for an agent that is exempt from the timers: a wrong one must not be tested for ever
)
SHOWN_OUTPUT = 200  # characters of the last line that the agent has printed
BROKEN_OFF = "its test was broken off"


class StartupTest:
    """One test of one agent type. `run` is called once, `break_off` from any thread at any time."""

    def __init__(
        self,
        agent_type: AgentType,
        configuration_folder: Path,
        timers: Timers,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Without an `environment` the agent inherits ours."""
        self._agent_type = agent_type
        self._folder = configuration_folder
        self._timers = replace(timers, working_seconds=LONGEST_SECONDS)
        self._environment = environment
        self._session: Session | None = None
        self._over = False
        self.version: str | None = None  # of a today's agent, once it has said it

    def run(self) -> str | None:
        """Carry it out: None when the agent has passed, else one sentence why not."""
        work = Work(job=0, stream=0, agent_type=self._agent_type.name, epoch=0)
        agent = Agent(self._agent_type)
        try:
            agent.start(command_line(self._agent_type, work, self._folder), environment=self._environment)
        except SpawnError as error:
            return str(error)
        try:
            session = self._session = _TestSession(agent, work, timers=self._timers)
            if self._over:
                session.order(Abandon())
            outcome = session.run()
            self.version = session.version
            return _sentence(outcome, session)
        finally:
            agent.kill()
            agent.end(self._timers.linger_seconds)

    def break_off(self) -> None:
        """Kill the agent; the test fails at once, now or when it begins."""
        self._over = True
        if self._session is not None:
            self._session.order(Abandon())


def startup_test(
    agent_type: AgentType,
    configuration_folder: Path,
    timers: Timers,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """Test an agent type on this host: None when it has passed, else one sentence why not."""
    return StartupTest(agent_type, configuration_folder, timers, environment).run()


class _TestSession(Session):
    def __init__(self, agent: Agent, work: Work, *, timers: Timers) -> None:
        super().__init__(agent, work, timers=timers, started=lambda pid: True)
        self._conduct = _TestConduct(agent, self._channel, work, timers=timers)


class _TestConduct(Conduct):
    """The rules of a test: the agent works from its first OK, STOPPING is what it does after its BYE."""

    def __init__(self, agent: Agent, channel: Channel, work: Work, *, timers: Timers) -> None:
        super().__init__(agent, channel, work, timers=timers, started=lambda pid: True)

    def exited(self) -> None:
        """Its process has ended: rightly so after BYE 0, or a pre-2.0 one at the end of its input."""
        if self.outcome is None:
            status = self._agent.process.exit_status()
            assert status is not None
            stays = self._agent.conversation.dialect is Dialect.PRE_2_0
            if self.timing.phase is Phase.STOPPING or (stays and not status.by_signal):
                self._settle(Ending.COMPLETED)
            elif self._agent.state is AgentState.SPAWNED:
                self._fail(f"it ended before it was ready: {status}", kill=False)
            else:
                self._fail(f"it ended without BYE: {status}", kill=False)
        self._agent.has_exited()

    def _start(self) -> None:
        """The first OK is answered by the order to end."""
        now = time.monotonic()
        stays = self._agent.conversation.dialect is Dialect.PRE_2_0
        self.timing.watch.counts_progress = not stays
        self.timing.watch.restart(now)
        self.timing.watch.enable(not self._may_be_silent(), now)
        self._enter(Phase.WORKING)
        if stays:
            self._channel.close_input()
        else:
            self._send(Close())
        self._agent.advance(AgentEvent.STOP)

    def _ready(self) -> None:
        """Another OK is no answer to CLOSE: the timers see to it."""
        if self.timing.phase is Phase.STARTING:
            self._start()

    def _bye(self, code: int) -> None:
        if code or self.timing.phase is Phase.STARTING:
            super()._bye(code)
        else:
            self._enter(Phase.STOPPING)

    def _phase_is_over(self) -> None:
        if self.timing.phase is Phase.STOPPING:
            self._fail("agent said BYE and did not end")
        else:
            super()._phase_is_over()


def _sentence(outcome: Outcome, session: Session) -> str | None:
    match outcome.ending:
        case Ending.COMPLETED:
            return None
        case Ending.FAILED:
            lines = session.output().decode().splitlines()
            said = [line for line in lines if line.strip() and line != outcome.reason]
            last = f"; the last it printed: {said[-1][:SHOWN_OUTPUT]}" if said else ""
            return f"{outcome.reason}{last}"
        case _:
            return BROKEN_OFF
