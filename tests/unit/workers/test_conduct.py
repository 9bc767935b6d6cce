"""The rules of a session as histories: what the agent says, what is ordered and what is due."""

from __future__ import annotations

import math
import signal
from pathlib import Path

import pytest

from scheduler_bridge.model.agents import AgentType
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from workers.agent import Agent
from workers.channel import Channel
from workers.conduct import Conduct
from workers.lifecycle import AgentEvent, AgentState
from workers.orders import Abandon, Kill, Order, Pause, Resume, SetPriority, SetVerbosity, Stop
from workers.process import AgentProcess, ExitStatus
from workers.protocol import NEED_DATA
from workers.timing import Timers

LATER = math.inf  # when everything that can be due is due
RUN = Work(job=7, stream=3, agent_type="toy", epoch=1, data="42")


class Process(AgentProcess):
    """A process that only remembers what was done to it; it survives everything until a test ends it."""

    def __init__(self) -> None:
        self.pid = 4711
        self.done: list[str] = []
        self.status: ExitStatus | None = None
        self.pidfd = None

    def signal_group(self, number: signal.Signals) -> None:
        self.done.append(number.name)

    def close_stdin(self) -> None:
        self.done.append("close stdin")

    def exit_status(self) -> ExitStatus | None:
        return self.status

    def wait_exit(self, seconds: float) -> bool:
        return self.status is not None


class Pipe(Channel):
    """A channel that only remembers what was sent."""

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)


class Story:
    """A session without I/O, driven by hand."""

    def __init__(self, work: Work = RUN, *, ours: bool = True) -> None:
        self.process = Process()
        self.agent = Agent(AgentType("toy", ("toy",), Path("/toys")))
        self.agent._process = self.process
        self.agent.advance(AgentEvent.CHOSEN)
        self.agent.advance(AgentEvent.SPAWNED)
        self.pipe = Pipe(self.process)
        self.starts: list[int] = []
        self.ours = ours
        self.conduct = Conduct(self.agent, self.pipe, work, timers=Timers(), started=self._started)

    def says(self, *lines: str) -> Story:
        """The agent prints lines."""
        self.agent.conversation.receive("".join(f"{line}\n" for line in lines).encode())
        while self.conduct.outcome is None:
            message = self.agent.conversation.next_message()
            if message is NEED_DATA:
                break
            self.conduct.take(message)
        return self

    def exits(self, code: int) -> Story:
        self.process.status = ExitStatus(code, False)
        self.conduct.exited()
        return self

    def outcome(self) -> Outcome | None:
        return self.conduct.outcome

    def ending(self) -> Ending | None:
        return self.conduct.outcome.ending if self.conduct.outcome else None

    def _started(self, pid: int) -> bool:
        self.starts.append(pid)
        return self.ours


READY = ("VERSION: 1.0", "", "OK")


def test_the_data_are_sent_after_the_claim_has_become_a_start() -> None:
    story = Story()
    story.says("VERSION: 1.0")
    assert (story.starts, story.pipe.sent) == ([], [])
    story.says("", "OK")
    assert (story.starts, story.pipe.sent) == ([4711], [b"42\nEND\n"])
    assert story.agent.state is AgentState.RUNNING


def test_the_job_is_completed_by_the_second_ok_and_the_last_count_is_waited_for() -> None:
    story = Story().says(*READY, "HEART: 5 1", "OK")
    assert story.outcome() is None
    assert story.pipe.sent[-1] == b"CLOSE\n"
    story.says("HEART: 6 0", "", "BYE 0")
    assert story.outcome() == Outcome(Ending.COMPLETED, 6)
    assert story.process.done == []


@pytest.mark.parametrize("last", ["BYE 9", "OK", "@@@1", "HEART: x"])
def test_nothing_after_the_second_ok_changes_the_outcome(last: str) -> None:
    story = Story().says(*READY, "OK", last)
    story.exits(11)
    assert story.outcome() == Outcome(Ending.COMPLETED)


def test_output_that_ends_after_the_second_ok_settles_the_outcome() -> None:
    story = Story().says(*READY, "OK")
    story.conduct.output_ended()
    assert story.outcome() == Outcome(Ending.COMPLETED)


def test_php_agents_complete_by_bye() -> None:
    assert Story().says(*READY, "HEART: 3 1", "BYE 0").outcome() == Outcome(Ending.COMPLETED, 3)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("VERSION: 1.0", "BYE 0"), "agent said BYE before it was ready"),
        (("VERSION: 1.0", "BYE 3"), "agent failed with error code 3"),
        ((*READY, "BYE -1"), "agent failed with error code 255"),
        (("ready", *READY), "agent did not greet, but said: ready"),
        (("x" * 5000,), "agent did not greet, but said: " + "x" * 200),
    ],
)
def test_failures_by_words(lines: tuple[str, ...], reason: str) -> None:
    assert Story().says(*lines).outcome() == Outcome(Ending.FAILED, 0, reason)


def test_bye_0_and_a_failing_exit_is_success() -> None:
    assert Story().says(*READY, "BYE 0").exits(11).outcome() == Outcome(Ending.COMPLETED)


def test_an_exit_without_bye_is_a_failure() -> None:
    story = Story().says(*READY).exits(0)
    assert story.outcome() == Outcome(Ending.FAILED, 0, "agent failed, code: 0")
    assert story.agent.died


@pytest.mark.parametrize("lines", [(), ("VERSION: 1.0",), READY])
def test_stopping_is_a_ladder_and_returns_the_job(lines: tuple[str, ...]) -> None:
    story = Story().says(*lines)
    story.conduct.obey(Stop())
    assert [done for done in story.process.done if done != "close stdin"] == ["SIGHUP", "SIGCONT"]
    assert story.process.done[0] == "close stdin"
    story.conduct.look_at_timers(LATER)
    assert story.process.done[-1] == "SIGKILL"
    assert story.outcome() is None
    story.exits(0)
    assert story.outcome() == Outcome(Ending.RETURNED, 0, "stopped by its worker")
    assert not story.agent.died


def test_a_process_that_survives_sigkill_is_not_waited_for_forever() -> None:
    story = Story().says(*READY)
    story.conduct.obey(Stop())
    story.conduct.look_at_timers(LATER)
    story.conduct.look_at_timers(LATER)
    assert story.outcome() == Outcome(Ending.RETURNED, 0, "stopped by its worker")


def test_a_kill_may_follow_a_stop() -> None:
    story = Story().says(*READY)
    story.conduct.obey(Stop())
    story.conduct.obey(Kill("killed by fossy"))
    assert story.outcome() == Outcome(Ending.FAILED, 0, "killed by fossy")


def test_an_abandoned_agent_is_killed_at_once() -> None:
    story = Story().says(*READY)
    story.conduct.obey(Abandon())
    assert story.process.done == ["SIGKILL"]
    assert story.ending() is Ending.LOST


def test_a_lost_claim_kills_todays_agents_and_leaves_those_that_stay() -> None:
    today = Story(ours=False).says(*READY)
    stays = Story(ours=False).says("OK")
    for story in (today, stays):
        assert story.ending() is Ending.RETURNED
        assert story.pipe.sent == []
    assert today.process.done == ["SIGKILL"]
    assert stays.process.done == []
    assert stays.agent.reusable


def test_a_pre_2_0_agent_gets_line_after_line_and_is_ready_for_another_job() -> None:
    story = Story(Work(job=7, stream=3, agent_type="toy", epoch=1, data="a\nb\n")).says("OK")
    story.says("ItemsProcessed 5", "OK", "ItemsProcessed 2")
    assert story.outcome() is None
    story.says("OK")
    assert story.pipe.sent == [b"a\n", b"b\n"]
    assert story.outcome() == Outcome(Ending.COMPLETED, 7)
    assert story.agent.reusable


def test_an_empty_argument_is_one_empty_line_in_both_dialects() -> None:
    nothing = Work(job=7, stream=3, agent_type="toy", epoch=1)
    assert Story(nothing).says("OK").pipe.sent == [b"\n"]
    assert Story(nothing).says(*READY).pipe.sent == [b"\nEND\n"]


def test_pause_and_resume_signal_once_each() -> None:
    story = Story().says(*READY)
    for order in (Resume(), Pause(), Pause(), Resume(), Resume()):
        story.conduct.obey(order)
    assert story.process.done == ["SIGSTOP", "SIGCONT"]


@pytest.mark.parametrize("order", [Pause(), Resume(), SetVerbosity(3), SetPriority(0)])
def test_an_order_that_ends_nothing_does_not_cost_the_last_count(order: Order) -> None:
    story = Story().says(*READY, "OK")
    story.conduct.obey(order)
    assert story.outcome() is None
    assert story.says("HEART: 6 0", "BYE 0").outcome() == Outcome(Ending.COMPLETED, 6)
    assert story.process.done == []


def test_nothing_is_due_while_paused() -> None:
    story = Story().says(*READY)
    story.conduct.obey(Pause())
    story.conduct.look_at_timers(LATER)
    assert story.outcome() is None


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        (READY, [b"42\nEND\n", b"VERBOSE 3\n"]),
        (("OK",), [b"42\n"]),
    ],
)
def test_only_todays_agents_are_told_of_verbosity(lines: tuple[str, ...], sent: list[bytes]) -> None:
    early, late = Story(), Story()
    early.conduct.obey(SetVerbosity(3))
    early.says(*lines)
    late.says(*lines)
    late.conduct.obey(SetVerbosity(3))
    assert early.pipe.sent == late.pipe.sent == sent


def test_an_agent_that_is_not_ready_in_time_is_killed() -> None:
    story = Story()
    story.conduct.look_at_timers(LATER)
    assert story.outcome() == Outcome(Ending.FAILED, 0, "agent was not ready in time")
    assert story.process.done == ["SIGKILL"]
