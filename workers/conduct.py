"""What every message, order and event does to a job on an agent: the rules of a session.

When is the job done? Today's C agents answer the data by a second OK: done, and whatever happens after that
OK changes nothing but the count of items. Today's PHP agents leave instead: BYE 0 without a second OK is done
too. Pre-2.0 agents are given one line per OK and are done, and free for the next job, at the OK after the
last line. Every other end is a failure, unless we have caused it.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable

from scheduler_bridge.model.agents import Special as Flag
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from workers.agent import Agent
from workers.channel import Channel
from workers.job_log import JobLog
from workers.lifecycle import AgentEvent, AgentState
from workers.messages import (
    Bye,
    Close,
    Data,
    FromAgent,
    GetSpecial,
    Mask,
    Ready,
    Special,
    ToAgent,
    Value,
    Verbose,
    Violation,
)
from workers.orders import Abandon, Kill, Order, Pause, Resume, SetPriority, SetVerbosity, Stop
from workers.process import ExitStatus
from workers.protocol import Dialect
from workers.report import Report
from workers.timing import Phase, Timers, Timing

BEFORE_THE_END = frozenset({Phase.STARTING, Phase.WORKING, Phase.MUTE})
STOPPED = "stopped by its worker"
SHOWN_GREETING = 200  # characters of what an agent said instead of a greeting
FOLLOWED = 0x10  # bit of a job's verbosity
SURELY_GONE_SECONDS = 0.05  # from the end of an agent's output to its own, only to say how it ended


class Conduct:
    """The rules at work on one session; `outcome` is set once, and then nothing more happens."""

    def __init__(
        self,
        agent: Agent,
        channel: Channel,
        work: Work,
        *,
        timers: Timers,
        started: Callable[[int], bool],
        log: JobLog | None = None,
    ) -> None:
        self.report = Report(log)
        self.timing = Timing(timers, time.monotonic())
        self.outcome: Outcome | None = None
        self._agent = agent
        self._channel = channel
        self._work = work
        self._started = started
        self._lines: deque[str] | None = None  # data not given to the agent yet; None: it has got nothing
        self._verbosity: int | None = None  # ordered before the agent was ready
        self._follows = False  # the job's log shows all that is said

    # What the agent says

    def hear(self, message: FromAgent, line: bytes) -> None:
        """A message of the agent, and the line, or lines, that it was."""
        if self._follows and self.report.log:
            self.report.log.received(line)
        self.take(message)

    def take(self, message: FromAgent) -> None:
        """A message of the agent."""
        match message:
            case Ready():
                self._agent.advance(AgentEvent.OK)
                self._ready()
            case Bye(code):
                self._agent.advance(AgentEvent.BYE)
                self._bye(code)
            case Violation(line):
                self._fail(f"agent did not greet, but said: {line[:SHOWN_GREETING]}")
            case GetSpecial(mask):
                self._send(Value(bool(self.report.special & mask)))
            case _:
                if self.report.take(message):
                    self.timing.watch.progressed()
                if isinstance(message, Special):
                    self.timing.watch.enable(not self._may_be_silent(), time.monotonic())

    def begin(self) -> None:
        """A warm agent is ready before it has said anything in this session."""
        is_ready = self._agent.state is AgentState.READY
        if is_ready and self.timing.phase is Phase.STARTING and not self.timing.paused:
            self._start()

    def _start(self) -> None:
        """The agent is ready: the claim becomes a start, if it is still ours."""
        pre_2_0 = self._agent.conversation.dialect is Dialect.PRE_2_0
        if not self._started(self._agent.process.pid):
            # Paused, ended or taken back meanwhile: nobody is to blame. A pre-2.0 agent stays, and was given nothing.
            if not pre_2_0:
                self._kill()
            self._settle(Ending.RETURNED, "the claim is gone")
            return
        data = self._work.data
        self._lines = deque(data.removesuffix("\n").split("\n") if pre_2_0 else [data])
        now = time.monotonic()
        self.timing.watch.counts_progress = not pre_2_0
        self.timing.watch.restart(now)
        self.timing.watch.enable(not self._may_be_silent(), now)
        self._enter(Phase.WORKING)
        self._give(self._lines.popleft())
        if self._verbosity is not None:
            self._set_verbosity(self._verbosity)

    def _ready(self) -> None:
        match self.timing.phase:
            case Phase.STARTING:
                self._start()
            case Phase.WORKING if self._lines:
                self._give(self._lines.popleft())
            case Phase.WORKING:
                self._complete()
            case Phase.STOPPING | Phase.KILLED if self._lines is not None and not self._lines:
                self._settle(Ending.COMPLETED)  # it has ended its work before it ends itself

    def _give(self, line: str) -> None:
        self._send(Data(line))
        self._agent.advance(AgentEvent.DATA)

    def _complete(self) -> None:
        """The OK that finds no data left."""
        if self._agent.conversation.dialect is Dialect.PRE_2_0:
            self._settle(Ending.COMPLETED)
        else:
            self._send(Close())
            self._agent.advance(AgentEvent.STOP)
            self._enter(Phase.CLOSING)

    def _bye(self, code: int) -> None:
        match self.timing.phase:
            case Phase.CLOSING:
                if code:
                    self.report.note(failure(code))
                self._settle(Ending.COMPLETED)
            case Phase.STOPPING | Phase.KILLED:
                pass  # a goodbye on demand says nothing about the job: it is run again
            case _ if code:
                self._fail(failure(code), kill=False)
            case Phase.STARTING:
                self._fail("agent said BYE before it was ready", kill=False)
            case _:
                self._settle(Ending.COMPLETED)

    def _may_be_silent(self) -> bool:
        return Flag.NOKILL in self._agent.agent_type.special or bool(self.report.special & Mask.NOKILL)

    # What happens to it

    def output_ended(self) -> None:
        """It has closed its output, or is about to be gone."""
        if self.timing.phase is Phase.CLOSING:
            if self._agent.process.wait_exit(SURELY_GONE_SECONDS):
                self.report.note(str(self._agent.process.exit_status()))
            self._settle(Ending.COMPLETED)
        elif self.timing.phase in BEFORE_THE_END:
            self._enter(Phase.MUTE)

    def exited(self) -> None:
        """Its process has ended, and everything it said has been taken."""
        if self.outcome is None:
            match self.timing.phase:
                case Phase.CLOSING:
                    self.report.note(str(self._agent.process.exit_status()))
                    self._settle(Ending.COMPLETED)
                case Phase.STOPPING | Phase.KILLED:
                    self._settle(Ending.RETURNED, STOPPED)
                case _:
                    self._fail(str(self._agent.process.exit_status()), kill=False)
        self._agent.has_exited()

    def look_at_timers(self, now: float) -> None:
        """Act on what is due."""
        complaint = self.timing.complaint(now)
        if complaint is not None:
            self._fail(complaint)
        elif self.timing.is_over(now):
            self._phase_is_over()

    def _phase_is_over(self) -> None:
        match self.timing.phase:
            case Phase.STARTING:
                self._fail("agent was not ready in time")
            case Phase.WORKING:
                self._fail("agent did not end in time")
            case Phase.CLOSING:
                self._settle(Ending.COMPLETED)
            case Phase.MUTE:
                self._fail("agent closed its output and went on")
            case Phase.STOPPING:
                self._agent.kill()
                self._enter(Phase.KILLED)
            case _:
                self._settle(Ending.RETURNED, STOPPED)

    # What it is told from outside

    def obey(self, order: Order) -> None:
        """Carry out an order, or ignore it where it comes too late."""
        match order:
            case Stop() | Abandon() | Kill() if self.timing.phase is Phase.CLOSING:
                self._settle(Ending.COMPLETED)  # nothing but the final count is lost
            case Stop(at_once):
                self._stop(at_once or self.timing.paused)
            case Abandon(reason):
                self._lose(reason)
            case Kill(reason):
                self._fail(reason)
            case Pause():
                self._pause()
            case Resume():
                self._resume()
            case SetVerbosity(level):
                self._set_verbosity(level)
            case SetPriority(nice):
                self._agent.set_nice(nice)

    def _stop(self, at_once: bool) -> None:
        if at_once and self.timing.phase is not Phase.KILLED:
            self.timing.resume(
                time.monotonic()
            )  # only the clock: an agent that people have paused must not work
            self._agent.kill()
            self._enter(Phase.KILLED)
        elif self.timing.phase in BEFORE_THE_END:
            self._channel.close_input()
            self._agent.hang_up()
            self._enter(Phase.STOPPING)

    def _pause(self) -> None:
        if not self.timing.paused and self.timing.phase in BEFORE_THE_END:
            self.timing.pause(time.monotonic())
            self._agent.process.pause()
            self._channel.listen(False)

    def _resume(self) -> None:
        if self.timing.paused:
            self.timing.resume(time.monotonic())
            self._channel.listen(True)
            self._agent.process.resume()
            self.begin()

    def _set_verbosity(self, level: int) -> None:
        self._follows = bool(level & FOLLOWED)
        if self.timing.phase is Phase.STARTING:
            self._verbosity = level
        elif self.timing.phase is Phase.WORKING and self._agent.conversation.dialect is Dialect.CURRENT:
            self._send(Verbose(level))

    # How it ends

    def _send(self, message: ToAgent) -> None:
        data = self._agent.conversation.send(message)
        self._channel.send(data)
        if self._follows and self.report.log:
            self.report.log.sent(data)

    def _enter(self, phase: Phase) -> None:
        self.timing.enter(phase, time.monotonic())

    def _fail(self, reason: str, *, kill: bool = True) -> None:
        if kill:
            self._agent.kill()
        self.report.note(reason)
        self._settle(Ending.FAILED, reason)

    def _lose(self, reason: str) -> None:
        self._kill()
        self._settle(Ending.LOST, reason)

    def _kill(self) -> None:
        self._agent.kill()
        if self.report.log:
            self.report.log.note_if_begun(str(ExitStatus(signal.SIGKILL, True)))

    def _settle(self, ending: Ending, reason: str = "") -> None:
        self.outcome = Outcome(ending, self.report.items, reason, self.report.email)


def failure(code: int) -> str:
    """What a BYE with a code other than 0 means."""
    return f"agent failed with error code {code}"
