"""The agents of a host: kept, reused, retired, given up, and all ended. Ages are moved, not waited for."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler_bridge.model.jobs import Ending, Outcome
from tests.toy import TIMERS, assert_gone, open_descriptors, pidfd_open, toy_type, toy_work
from workers.agent import Agent
from workers.command_line import command_line
from workers.lifecycle import AgentState
from workers.orders import Pause, Resume, Stop
from workers.pool import AgentPool, RespawnExhausted
from workers.process import AgentProcess, SpawnError
from workers.session import Session

CONFIGURATION = Path("/etc/fossology")
SLOTS = 3
GRACE = 5.0


class Host:
    """A pool and the clock it goes by."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pool = AgentPool(SLOTS, grace_seconds=GRACE, clock=lambda: self.now)
        self.groups: set[int] = set()

    def acquire(self, name: str = "good_legacy", arguments: str = "", nice: int = 0) -> Agent:
        work = replace(toy_work(name), arguments=arguments)
        argv = command_line(toy_type(name), work, CONFIGURATION)
        agent = self.pool.acquire(toy_type(name), argv, nice=nice)
        self.groups.add(agent.process.pid)
        return agent

    def run(self, agent: Agent, data: str = "42") -> Outcome:
        """A session; the agent stays acquired."""
        work = toy_work(agent.agent_type.name, data)
        return Session(agent, work, timers=TIMERS, started=lambda pid: True).run()

    def job(self, data: str = "42", name: str = "good_legacy") -> tuple[Outcome, int]:
        """A whole job: its outcome and its agent's process."""
        agent = self.acquire(name)
        outcome = self.run(agent, data)
        self.pool.release(agent, self.now)
        return outcome, agent.process.pid


@pytest.fixture
def host() -> Iterator[Host]:
    """Nothing of its agents is left afterwards."""
    before = open_descriptors()
    host = Host()
    yield host
    host.pool.close(GRACE)
    for group in host.groups:
        assert_gone(group)
    assert open_descriptors() == before


def noting(pids: list[int]) -> Callable[[int], bool]:
    """A `started` that remembers its calls."""

    def started(pid: int) -> bool:
        pids.append(pid)
        return True

    return started


def wait_until_dead(pid: int) -> None:
    try:
        pidfd = pidfd_open(pid)
    except ProcessLookupError:
        return  # dead and reaped
    ended = select.select([pidfd], [], [], GRACE)[0]
    os.close(pidfd)
    assert ended


class TestWarmAgents:
    def test_a_pre_2_0_agent_does_one_job_after_the_other(self, host: Host) -> None:
        first, first_pid = host.job("one")
        second, second_pid = host.job("two")
        assert first == second == Outcome(Ending.COMPLETED, 2)
        assert first_pid == second_pid

    def test_it_gets_one_line_for_each_ok(self, host: Host) -> None:
        outcome, _ = host.job("one\ntwo\nthree\n")
        assert outcome == Outcome(Ending.COMPLETED, 6)

    def test_a_second_ok_is_not_taken_for_the_next_jobs(self, host: Host) -> None:
        assert host.job("twice")[0].ending is Ending.COMPLETED
        agent = host.acquire()
        session = Session(agent, toy_work("good_legacy", "next"), timers=TIMERS, started=lambda pid: True)
        assert session.run() == Outcome(Ending.COMPLETED, 2)
        assert session.output().decode() == f"{agent.process.pid} got next\n"
        host.pool.release(agent, host.now)

    def test_todays_agents_live_for_one_job(self, host: Host) -> None:
        _, first = host.job(name="good_c_style")
        _, second = host.job(name="good_c_style")
        assert first != second

    def test_an_agent_is_reused_by_its_own_type_only(self, host: Host) -> None:
        _, legacy = host.job()
        agent = host.acquire("good_c_style")
        assert agent.process.pid != legacy
        host.pool.release(agent, host.now)

    def test_an_agent_that_was_started_with_other_arguments_is_not_reused(self, host: Host) -> None:
        _, first = host.job()
        agent = host.acquire(arguments="-x")
        assert agent.process.pid != first
        host.pool.release(agent, host.now)

    def test_a_reused_agent_gets_the_nice_value_of_its_job(self, host: Host) -> None:
        host.job()
        agent = host.acquire(nice=5)
        assert os.getpriority(os.PRIO_PROCESS, agent.process.pid) == 5
        host.run(agent)
        host.pool.release(agent, host.now)

    def test_a_claim_that_is_gone_leaves_the_agent_warm(self, host: Host) -> None:
        agent = host.acquire()
        session = Session(agent, toy_work("good_legacy"), timers=TIMERS, started=lambda pid: False)
        assert session.run().ending is Ending.RETURNED
        host.pool.release(agent, host.now)
        assert host.job()[1] == agent.process.pid

    def test_a_stop_before_the_session_reaches_a_warm_agent_before_its_data(self, host: Host) -> None:
        host.job()
        agent = host.acquire()
        starts: list[int] = []
        session = Session(agent, toy_work("good_legacy"), timers=TIMERS, started=noting(starts))
        session.order(Stop())
        assert session.run().ending is Ending.RETURNED
        assert starts == []
        host.pool.release(agent, host.now)

    def test_a_pause_before_the_session_holds_a_warm_agent_until_it_is_resumed(self, host: Host) -> None:
        host.job()
        agent = host.acquire()
        starts: list[int] = []
        session = Session(agent, toy_work("good_legacy"), timers=TIMERS, started=noting(starts))
        session.order(Pause())
        outcomes: list[Outcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(session.run()))
        thread.start()
        os.waitid(os.P_PID, agent.process.pid, os.WSTOPPED | os.WNOWAIT)
        assert starts == []
        session.order(Resume())
        thread.join(GRACE)
        assert outcomes == [Outcome(Ending.COMPLETED, 2)]
        assert starts == [agent.process.pid]
        host.pool.release(agent, host.now)

    def test_an_agent_that_died_in_its_idleness_is_not_handed_out(self, host: Host) -> None:
        _, first = host.job()
        os.kill(first, signal.SIGKILL)
        wait_until_dead(first)
        outcome, second = host.job()
        assert outcome.ending is Ending.COMPLETED
        assert second != first

    def test_an_agent_that_fails_is_not_kept(self, host: Host) -> None:
        outcome, pid = host.job("die")
        assert outcome == Outcome(Ending.FAILED, 0, "agent failed, code: 7")
        assert host.job()[1] != pid

    def test_warm_agents_end_when_their_input_is_closed(self, host: Host) -> None:
        agent = host.acquire()
        host.run(agent)
        agent.process.close_stdin()
        assert agent.process.wait_exit(GRACE)
        host.pool.release(agent, host.now)


class TestRetiring:
    def test_an_idle_agent_is_kept_for_fifteen_minutes(self, host: Host) -> None:
        _, first = host.job()
        host.now += 900
        host.pool.retire(host.now)
        assert host.job()[1] == first

    def test_an_agent_that_idled_longer_is_retired(self, host: Host) -> None:
        _, first = host.job()
        host.now += 901
        host.pool.retire(host.now)
        wait_until_dead(first)
        host.pool.retire(host.now)
        assert host.job()[1] != first

    def test_an_agent_in_the_way_is_retired_when_it_has_been_kept_long_enough(self, host: Host) -> None:
        _, idle = host.job()
        working = [host.acquire("never_ready") for _ in range(SLOTS - 1)]
        host.now += 19
        working.append(host.acquire("never_ready"))
        host.pool.retire(host.now)
        host.now += 1
        assert Path(f"/proc/{idle}").exists()
        host.pool.retire(host.now)
        wait_until_dead(idle)
        for agent in working:
            host.pool.release(agent, host.now)

    def test_the_longest_idle_makes_room_first(self, host: Host) -> None:
        agents = [host.acquire() for _ in range(SLOTS)]
        for agent in agents:
            host.run(agent)
            host.pool.release(agent, host.now)
            host.now += 30
        newcomer = host.acquire("never_ready")
        wait_until_dead(agents[0].process.pid)
        assert agents[1].process.exit_status() is None
        host.pool.release(newcomer, host.now)

    def test_warm_agents_never_outnumber_the_slots(self, host: Host) -> None:
        agents = [host.acquire() for _ in range(SLOTS + 1)]
        for agent in agents:
            host.run(agent)
            host.pool.release(agent, host.now)
        wait_until_dead(agents[0].process.pid)

    def test_a_retired_agent_that_ignores_it_is_killed_after_the_grace(self, host: Host) -> None:
        agent = host.acquire("stubborn_legacy")
        host.run(agent)
        host.pool.release(agent, host.now)
        host.now += 901
        host.pool.retire(host.now)
        host.now += GRACE - 1
        host.pool.retire(host.now)
        assert agent.process.exit_status() is None
        host.now += 1
        host.pool.retire(host.now)
        wait_until_dead(agent.process.pid)
        host.pool.retire(host.now)
        assert agent.process.reaped


class TestRespawnBudget:
    def die(self, host: Host, times: int) -> None:
        for _ in range(times):
            assert host.job("die")[0].ending is Ending.FAILED

    def test_after_five_deaths_none_is_started_for_five_minutes(self, host: Host) -> None:
        self.die(host, 5)
        with pytest.raises(RespawnExhausted) as caught:
            host.acquire()
        assert caught.value.agent_type == "good_legacy"
        assert caught.value.seconds == 300
        host.now += 300
        assert host.job()[0].ending is Ending.COMPLETED

    def test_the_agent_whose_death_spent_the_budget_is_failed(self, host: Host) -> None:
        self.die(host, 4)
        agent = host.acquire()
        host.run(agent, "kill")
        host.pool.release(agent, host.now)
        assert agent.state is AgentState.FAILED

    def test_deaths_of_one_type_do_not_hold_up_another(self, host: Host) -> None:
        self.die(host, 5)
        assert host.job(name="good_c_style")[0].ending is Ending.COMPLETED

    def test_a_warm_agent_works_on_while_none_is_started(self, host: Host) -> None:
        survivor = host.acquire()
        self.die(host, 5)
        host.run(survivor)
        host.pool.release(survivor, host.now)
        assert host.job()[1] == survivor.process.pid

    def test_deaths_in_idleness_count(self, host: Host) -> None:
        self.die(host, 4)
        _, pid = host.job()
        os.kill(pid, signal.SIGKILL)
        wait_until_dead(pid)
        host.pool.retire(host.now)
        with pytest.raises(RespawnExhausted):
            host.acquire()

    def test_ordered_ends_do_not_count(self, host: Host) -> None:
        self.die(host, 4)
        host.job()
        host.now += 901
        host.pool.retire(host.now)
        self.die(host, 1)
        assert host.job()[0].ending is Ending.COMPLETED

    def test_todays_agents_have_no_budget(self, host: Host) -> None:
        for _ in range(7):
            assert host.job("3", "dies_with_data")[0].ending is Ending.FAILED


class TestEnds:
    def test_a_program_that_cannot_be_started_takes_no_place(self, host: Host) -> None:
        for _ in range(SLOTS + 1):
            with pytest.raises(SpawnError, match="No such file"):
                host.acquire("there_is_no_such_agent")
        assert host.job()[0].ending is Ending.COMPLETED

    def test_an_agent_is_ended_on_release_whatever_it_is_doing(self, host: Host) -> None:
        agent = host.acquire("never_ready")
        host.pool.release(agent, host.now)
        assert agent.process.reaped
        assert_gone(agent.process.pid)

    def test_an_agent_that_survives_its_kill_is_let_go_when_it_has_ended(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        agent = host.acquire("never_ready")
        with monkeypatch.context() as patched:
            patched.setattr(AgentProcess, "end", lambda process, grace, leaving: False)
            host.pool.release(agent, host.now)
        assert not agent.process.reaped
        host.pool.retire(host.now)
        wait_until_dead(agent.process.pid)
        host.pool.retire(host.now)
        assert agent.process.reaped

    def test_closing_ends_all_warm_agents_within_the_grace(self, host: Host) -> None:
        agents = [host.acquire("stubborn_legacy") for _ in range(SLOTS)]
        for agent in agents:
            host.run(agent)
            host.pool.release(agent, host.now)
        began = time.monotonic()
        host.pool.close(0.5)
        assert time.monotonic() - began < 3.0
        assert all(agent.process.reaped for agent in agents)

    def test_nothing_is_kept_after_closing(self, host: Host) -> None:
        agent = host.acquire()
        host.pool.close(GRACE)
        assert host.run(agent).ending is Ending.COMPLETED
        host.pool.release(agent, host.now)
        assert agent.process.reaped

    def test_many_threads_share_a_pool(self, host: Host) -> None:
        outcomes: list[Outcome] = []
        lock = threading.Lock()

        def work(number: int) -> None:
            outcome, _ = host.job(str(number), "good_legacy" if number % 2 else "good_c_style")
            with lock:
                outcomes.append(outcome)

        with ThreadPoolExecutor(SLOTS) as threads:
            list(threads.map(work, range(60)))
        assert outcomes == [Outcome(Ending.COMPLETED, 2)] * 60
