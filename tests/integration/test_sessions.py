"""Real sessions with toy agents: the exact outcome, in bounded time, and nothing left behind.

`play` itself checks that no process of the agent's group and no descriptor of ours is left.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler_bridge.model.agents import Special
from scheduler_bridge.model.jobs import Ending, Outcome
from tests.toy import (
    AGENTS,
    Played,
    Running,
    assert_gone,
    open_descriptors,
    play,
    shortened,
    toy_type,
    toy_work,
)
from workers.agent import Agent
from workers.orders import Abandon, Kill, Order, Pause, Resume, SetPriority, SetVerbosity, Stop
from workers.output import KEPT_BYTES
from workers.session import Session
from workers.timing import Timers

SOON = 3.0  # seconds on a busy machine for what takes milliseconds


def ordering(*orders: Order) -> Callable[[Session, int], bool]:
    """A `started` during which orders are given: they arrive while the agent works."""

    def started(session: Session, pid: int) -> bool:
        for order in orders:
            session.order(order)
        return True

    return started


def noting(pids: list[int]) -> Callable[[Session, int], bool]:
    """A `started` that remembers its calls."""

    def started(session: Session, pid: int) -> bool:
        pids.append(pid)
        return True

    return started


def completed(items: int, *, email: str | None = None) -> Outcome:
    """The outcome of success."""
    return Outcome(Ending.COMPLETED, items, email=email)


def failed(reason: str, items: int = 0) -> Outcome:
    """The outcome of an agent's failure."""
    return Outcome(Ending.FAILED, items, reason)


def assert_soon(played: Played, seconds: float = SOON) -> None:
    assert played.seconds < seconds


def assert_silent(played: Played) -> None:
    assert played.outcome.ending is Ending.FAILED
    assert re.fullmatch(r"no heartbeat for \d+ seconds", played.outcome.reason)


class TestGoodAgents:
    def test_c_style_completes_at_the_ok_without_data_and_brings_the_final_count(self) -> None:
        played = play("good_c_style")
        assert played.outcome == completed(2)
        assert played.session.items == 2
        assert played.session.version == "1.0"
        assert_soon(played)

    def test_php_style_completes_at_bye_0(self) -> None:
        played = play("good_php_style", "0")
        assert played.outcome == completed(3)
        assert_soon(played)

    def test_an_agent_that_never_reads_completes_at_bye_0(self) -> None:
        assert play("never_reads").outcome == completed(4)

    def test_an_agent_that_closes_its_input_completes_at_bye_0(self) -> None:
        assert play("closes_stdin_early", "x" * 1_000_000).outcome == completed(1)

    def test_started_is_called_once_with_the_process_before_the_data(self) -> None:
        pids: list[int] = []
        played = play("good_c_style", started=noting(pids))
        assert pids == [played.pid]

    def test_todays_agents_are_sent_data_then_end_then_close(self) -> None:
        assert play("tells_input", "ask").text.splitlines() == [
            "<ask>",
            "<END>",
            "<VALUE: 0>",
            "<VALUE: 1>",
            "<CLOSE>",
        ]

    def test_the_last_email_text_is_kept(self) -> None:
        assert play("tells_input", "ask").session.email == "all is well"

    def test_embedded_newlines_pass_through(self) -> None:
        assert play("good_c_style", "one\ntwo\nthree").outcome == completed(4)

    def test_ten_megabytes_to_an_agent_that_prints_while_it_reads_do_not_hang(self) -> None:
        data = "\n".join(["x" * 99] * 100_000)
        played = play("echoes_data", data)
        assert played.outcome == completed(10_000_000)
        assert len(played.text.encode()) <= KEPT_BYTES
        assert_soon(played, 20.0)

    def test_ten_megabytes_to_an_agent_that_never_reads_do_not_hang(self) -> None:
        played = play("never_reads", "x" * 10_000_000)
        assert played.outcome == completed(4)
        assert_soon(played)


class TestFailures:
    def test_bye_with_a_code_is_a_failure(self) -> None:
        assert play("good_php_style", "9").outcome == failed("agent failed with error code 9", 3)

    @pytest.mark.parametrize("code", [0, 4])
    def test_an_exit_without_bye_is_a_failure_whatever_its_code(self, code: int) -> None:
        played = play("dies_with_data", str(code))
        assert played.outcome == failed(f"agent failed, code: {code}", 2)
        assert played.text == f"last words\nagent failed, code: {code}\n"

    def test_a_death_by_signal_names_the_signal(self) -> None:
        assert play("dies_with_data", "kill").outcome == failed("agent was killed by signal: 9.Killed", 2)

    def test_an_agent_that_dies_at_once_fails_without_having_started(self) -> None:
        starts: list[int] = []
        played = play("dies_at_once", started=noting(starts))
        assert played.outcome == failed("agent failed, code: 3")
        assert starts == []
        assert_soon(played)

    def test_an_agent_that_is_never_ready_is_killed(self) -> None:
        played = play("never_ready", timers=shortened(ready_seconds=0.3))
        assert played.outcome == failed("agent was not ready in time")
        assert_soon(played)

    def test_a_program_that_does_not_greet_is_killed(self) -> None:
        played = play("does_not_greet")
        assert played.outcome == failed("agent did not greet, but said: loading...VERSION: 1.0")
        assert_soon(played)

    def test_silence_is_killed(self) -> None:
        played = play("silent", timers=shortened(death_seconds=1.0))
        assert_silent(played)
        assert_soon(played)

    def test_silence_of_a_pre_2_0_agent_is_killed_and_its_talk_is_not(self) -> None:
        timers = shortened(death_seconds=0.6, update_seconds=0.1, update_number=0)
        assert play("good_legacy", "a\nb", timers=timers).outcome == completed(4)
        assert_silent(play("good_legacy", "hang", timers=timers))

    def test_talk_without_progress_is_killed(self) -> None:
        timers = Timers(death_seconds=20, update_seconds=0.2, update_number=2, grace_seconds=10)
        played = play("no_progress", timers=timers)
        assert played.outcome == failed("agent has not set the alive flag for 1 seconds", 1)

    def test_a_nokill_agent_type_may_be_silent(self) -> None:
        played = play("slow", "1", timers=shortened(death_seconds=0.3), special=(Special.NOKILL,))
        assert played.outcome == completed(1)

    def test_an_agent_may_ask_to_be_silent(self) -> None:
        assert play("silent", "nokill", timers=shortened(death_seconds=1.0)).outcome == completed(0)

    def test_an_agent_that_takes_its_wish_back_is_watched_again(self) -> None:
        played = play("silent", "off", timers=shortened(death_seconds=0.5))
        assert_silent(played)
        assert_soon(played)


class TestAfterTheWorkIsDone:
    def test_a_failing_goodbye_changes_the_count_and_nothing_else(self) -> None:
        assert play("fails_after_its_work").outcome == completed(8)

    def test_an_agent_that_never_leaves_is_waited_for_only_so_long(self) -> None:
        played = play("never_leaves", timers=shortened(linger_seconds=0.2))
        assert played.outcome == completed(1)
        assert_soon(played)

    @pytest.mark.parametrize("order", [Stop(), Abandon(), Kill("too late")])
    def test_an_order_that_comes_too_late_does_not_change_the_outcome(
        self, order: Order, tmp_path: Path
    ) -> None:
        fifo = tmp_path / "closed"
        os.mkfifo(fifo)
        running = Running("never_leaves", str(fifo))
        assert fifo.read_text() == "CLOSE\n"
        running.session.order(order)
        assert running.outcome() == completed(1)


class TestOrders:
    def test_stop_returns_the_job_when_the_agent_has_ended(self) -> None:
        played = play("slow", "1000", started=ordering(Stop()))
        assert played.outcome == Outcome(Ending.RETURNED, 0, "stopped by its worker")
        assert_soon(played)

    def test_stop_ends_an_agent_that_ignores_it_by_force(self) -> None:
        timers = shortened(grace_seconds=0.3)
        played = play("ignores_signals", timers=timers, started=ordering(Stop(), Stop()))
        assert played.outcome.ending is Ending.RETURNED
        assert 0.3 <= played.seconds < SOON

    def test_stop_reaches_an_agent_that_is_not_ready(self) -> None:
        running = Running("never_ready")
        running.session.order(Stop())
        assert running.outcome().ending is Ending.RETURNED

    def test_an_item_that_is_finished_while_stopping_is_completed(self) -> None:
        assert play("finishes_when_told_to_stop", "ok", started=ordering(Stop())).outcome == completed(6)

    def test_a_goodbye_while_stopping_is_no_completion(self) -> None:
        played = play("finishes_when_told_to_stop", "bye", started=ordering(Stop()))
        assert played.outcome.ending is Ending.RETURNED

    def test_abandon_kills_at_once(self) -> None:
        played = play("ignores_signals", started=ordering(Abandon()))
        assert played.outcome.ending is Ending.LOST
        assert_soon(played)

    def test_kill_fails_with_its_reason(self) -> None:
        played = play("ignores_signals", started=ordering(Kill("killed by fossy")))
        assert played.outcome == failed("killed by fossy")
        assert played.text == "killed by fossy\n"
        assert_soon(played)

    def test_a_claim_that_is_gone_at_the_first_ok_gives_the_agent_nothing(self) -> None:
        played = play("tells_input", started=lambda session, pid: False)
        assert played.outcome.ending is Ending.RETURNED
        assert played.text == ""

    def test_a_paused_agent_does_nothing_and_no_timer_runs(self) -> None:
        running = Running("slow", "0.1", timers=shortened(death_seconds=0.5), started=ordering(Pause()))
        stopped = os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WNOWAIT)
        assert stopped is not None
        assert running.outcome_within(1.0) is None
        running.session.order(Resume())
        assert running.outcome() == completed(1)

    def test_a_paused_agent_can_be_killed(self) -> None:
        played = play("slow", "1000", started=ordering(Pause(), Kill("enough")))
        assert played.outcome == failed("enough")

    def test_a_paused_agent_that_is_stopped_is_killed_and_never_works_again(self) -> None:
        played = play(
            "finishes_when_told_to_stop", "ok", started=ordering(Pause(), Pause(), Stop(), Resume())
        )
        assert played.outcome == Outcome(Ending.RETURNED, 0, "stopped by its worker")
        assert_soon(played)

    @pytest.mark.parametrize("before", [[], [Stop()]])
    def test_stop_at_once_waits_for_no_grace(self, before: list[Order]) -> None:
        played = play("ignores_signals", started=ordering(*before, Stop(at_once=True), Stop(at_once=True)))
        assert played.outcome == Outcome(Ending.RETURNED, 0, "stopped by its worker")
        assert_soon(played)

    def test_a_paused_agent_that_is_killed_by_others_fails(self) -> None:
        def started(session: Session, pid: int) -> bool:
            session.order(Pause())
            os.kill(pid, signal.SIGKILL)
            return True

        assert play("slow", "1000", started=started).outcome == failed("agent was killed by signal: 9.Killed")

    def test_verbosity_is_told_to_the_agent_after_its_data(self) -> None:
        played = play("tells_input", "ask", started=ordering(SetVerbosity(3)))
        assert "<VERBOSE 3>" in played.text.splitlines()

    def test_verbosity_ordered_before_the_first_ok_is_not_lost(self) -> None:
        running = Running("tells_input", "ask", orders=[SetVerbosity(7)])
        assert running.outcome() == completed(1, email=running.session.email)
        assert b"<VERBOSE 7>\n" in running.session.output()

    def test_priority_is_the_nice_value_of_the_agents_group(self) -> None:
        running = Running("silent", started=ordering(SetPriority(5), Pause()))
        os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WNOWAIT)
        nice = os.getpriority(os.PRIO_PROCESS, running.pid)
        running.session.order(Kill("enough"))
        running.outcome()
        assert nice == 5

    def test_orders_to_a_session_that_has_ended_are_ignored(self) -> None:
        played = play("never_reads")
        descriptors = open_descriptors()
        played.session.order(Stop())
        assert open_descriptors() == descriptors

    def test_an_exception_of_started_ends_the_agent_and_is_raised(self) -> None:
        agent = Agent(toy_type("ignores_signals"))
        agent.start([str(AGENTS / "ignores_signals")])

        def started(pid: int) -> bool:
            raise RuntimeError("database gone")

        with pytest.raises(RuntimeError, match="database gone"):
            Session(agent, toy_work("ignores_signals"), timers=shortened(), started=started).run()
        assert agent.end(1.0)
        assert_gone(agent.process.pid)


class TestHostileAgents:
    @pytest.mark.parametrize("name", ["floods", "no_newline"])
    def test_a_flood_neither_fills_memory_nor_drowns_orders(self, name: str) -> None:
        running = Running(name, "all work and no play")
        assert running.outcome_within(0.3) is None
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert running.outcome_within(1.0) is None
        running.session.order(Stop())
        assert running.outcome().ending is Ending.RETURNED
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8192  # KiB
        assert len(running.session.output()) <= KEPT_BYTES

    def test_a_flood_does_not_stop_the_timers(self) -> None:
        timers = shortened(update_seconds=0.2, update_number=2)
        played = play("floods", "y", timers=timers)
        assert played.outcome.reason.startswith("agent has not set the alive flag")
        assert_soon(played)

    @pytest.mark.parametrize("line", ["y", "HEART: 5 1"])
    def test_a_flood_costs_little_of_our_time(self, line: str) -> None:
        running = Running("floods", line)
        began = time.process_time()
        assert running.outcome_within(2.0) is None
        assert time.process_time() - began < 1.0
        running.session.order(Kill("enough"))
        running.outcome()

    def test_a_child_left_behind_is_ended_with_its_agent(self) -> None:
        played = play("forks", "bye")
        assert played.outcome == completed(0)
        assert played.text.startswith("child ")

    def test_the_end_is_noticed_although_a_child_holds_the_output_open(self) -> None:
        played = play("forks", "die")
        assert played.outcome == failed("agent failed, code: 5")
        assert_soon(played)

    def test_the_end_of_an_agent_that_had_closed_its_output_is_noticed(self) -> None:
        played = play("closes_stdout_early", "end")
        assert played.outcome == failed("agent failed, code: 4")
        assert_soon(played)

    def test_an_agent_that_closes_its_output_and_stays_is_killed(self) -> None:
        played = play("closes_stdout_early", "stay", timers=shortened(linger_seconds=0.3))
        assert played.outcome == failed("agent closed its output and went on")
        assert_soon(played)

    def test_bytes_that_are_no_text_are_shown(self) -> None:
        played = play("invalid_utf8")
        assert played.outcome == completed(0, email="caf\\xe9")
        assert played.text == "bad \\xff\\xfe bytes\n\\xc3(\nand a NUL \\x00 too\n"
        assert played.session.email == "caf\\xe9"

    def test_malformed_messages_are_logged_and_change_nothing(self) -> None:
        played = play("bad_heart")
        assert played.outcome == completed(2**31 - 1)
        assert played.text.splitlines() == [
            "HEART: x (expected HEART: items alive)",
            "HEART (expected HEART: items alive)",
            "SPECIAL: y (expected SPECIAL: mask 0 or 1)",
            "GETSPECIAL (expected GETSPECIAL: mask)",
        ]


class TestWithoutPidfd:
    """Where the kernel or a container's filter refuses pidfds everything is a little slower and the same."""

    @pytest.fixture(autouse=True)
    def no_pidfd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "pidfd_open")

    @pytest.mark.parametrize(
        ("name", "data", "outcome"),
        [
            ("good_c_style", "42", completed(2)),
            ("forks", "die", failed("agent failed, code: 5")),
            ("closes_stdout_early", "end", failed("agent failed, code: 4")),
            ("dies_at_once", "", failed("agent failed, code: 3")),
        ],
    )
    def test_outcomes_are_the_same(self, name: str, data: str, outcome: Outcome) -> None:
        played = play(name, data)
        assert played.outcome == outcome
        assert_soon(played)
