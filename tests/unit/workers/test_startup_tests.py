"""The start-up tests of a host, on a clock that the test moves and with tests whose end the test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler_bridge.model.agents import AgentType, Host, Special
from workers.offer import DIED, DRAINED, Offer
from workers.startup_tests import PATIENCE_SECONDS, RETRY_SECONDS, UNTESTED, StartupTests

PATIENCE = 10.0


class Trial:
    """A test that ends when it is told how."""

    def __init__(self, agent_type: AgentType) -> None:
        self.agent_type = agent_type
        self.version: str | None = "7"
        self.broken_off = False
        self._told = threading.Event()
        self._problem: str | None = None

    def run(self) -> str | None:
        assert self._told.wait(PATIENCE)
        if self._problem == "raise":
            raise OSError("no more processes")
        return self._problem

    def break_off(self) -> None:
        self.broken_off = True
        self.end("broken off")

    def end(self, problem: str | None = None) -> None:
        self._problem = problem
        self._told.set()


class Lab:
    """Start-up tests, with the trials that they have begun and how many have ended."""

    def __init__(self, *names: str, at_once: int = 10) -> None:
        self.trials: dict[str, list[Trial]] = {}
        self.versions: dict[str, str | None] = {}
        self._ended = threading.Semaphore(0)
        self.tests = StartupTests(
            self._begin, at_once=at_once, ended=self._ended.release, passed=self.versions.__setitem__
        )
        self.tests.configure(types(*names))

    def _begin(self, agent_type: AgentType) -> Trial:
        trial = Trial(agent_type)
        self.trials.setdefault(agent_type.name, []).append(trial)
        return trial

    def end(self, name: str, problem: str | None = None) -> None:
        """End the last trial of a type and wait until that is known."""
        self.trials[name][-1].end(problem)
        self.await_end()

    def await_end(self) -> None:
        """Wait until the end of one more trial is known."""
        assert self._ended.acquire(timeout=PATIENCE)

    def counts(self) -> dict[str, int]:
        """How often each type was tested."""
        return {name: len(trials) for name, trials in self.trials.items()}


def types(*names: str, command: str = "program") -> dict[str, AgentType]:
    return {name: AgentType(name, (command,), Path("/agents")) for name in names}


def test_a_type_is_closed_until_it_has_passed() -> None:
    lab = Lab("a")
    assert lab.tests.problem("a") == UNTESTED
    lab.tests.tend(0.0)
    assert lab.tests.problem("a") == UNTESTED
    lab.end("a")
    assert lab.tests.problem("a") is None
    assert lab.tests.problems() == {}
    assert lab.versions == {"a": "7"}


def test_types_open_one_by_one_as_they_pass() -> None:
    lab = Lab("a", "b")
    lab.tests.tend(0.0)
    lab.end("b")
    assert lab.tests.problems() == {"a": UNTESTED}
    lab.end("a")
    assert lab.tests.problems() == {}


def test_no_more_tests_run_at_once_than_told() -> None:
    lab = Lab("a", "b", "c", at_once=2)
    lab.tests.tend(0.0)
    assert lab.counts() == {"a": 1, "b": 1}
    lab.tests.tend(1.0)
    assert lab.counts() == {"a": 1, "b": 1}
    lab.end("a")
    lab.tests.tend(1.0)
    assert lab.counts() == {"a": 1, "b": 1, "c": 1}
    lab.end("b")
    lab.end("c")


def test_tests_that_last_long_hold_up_no_other() -> None:
    lab = Lab("a", "b", "c", at_once=2)
    lab.tests.tend(0.0)
    lab.tests.tend(PATIENCE_SECONDS)
    assert lab.counts() == {"a": 1, "b": 1, "c": 1}
    for name in "abc":
        lab.end(name)


def test_a_failed_type_is_tested_again_later_and_later() -> None:
    lab = Lab("a")
    now = 0.0
    for wait in (*RETRY_SECONDS, RETRY_SECONDS[-1]):
        lab.tests.tend(now)
        lab.end("a", "no disk")
        assert lab.tests.problem("a") == "no disk"
        count = len(lab.trials["a"])
        lab.tests.tend(now + wait - 0.1)
        assert len(lab.trials["a"]) == count
        now += wait
    lab.tests.tend(now)
    assert lab.tests.problem("a") == "no disk"
    lab.end("a")
    assert lab.tests.problem("a") is None


def test_a_passed_type_is_not_tested_again() -> None:
    lab = Lab("a")
    lab.tests.tend(0.0)
    lab.end("a")
    lab.tests.configure(types("a"))
    lab.tests.tend(1_000_000.0)
    assert lab.counts() == {"a": 1}


def test_a_changed_configuration_has_changed_new_and_failed_types_tested_at_once() -> None:
    lab = Lab("same", "changed", "failed", "gone")
    lab.tests.tend(0.0)
    for name, problem in (("same", None), ("changed", None), ("failed", "no disk"), ("gone", None)):
        lab.end(name, problem)
    lab.tests.configure(types("same", "failed", "new") | types("changed", command="other"))
    lab.tests.tend(1.0)
    assert lab.counts() == {"same": 1, "changed": 2, "failed": 2, "gone": 1, "new": 1}
    assert lab.tests.problems() == {"changed": UNTESTED, "failed": "no disk", "new": UNTESTED}
    assert lab.tests.problem("gone") == "it is not configured here"
    for name in ("changed", "failed", "new"):
        lab.end(name)
    assert lab.tests.problems() == {}


def test_the_result_for_a_type_that_has_changed_meanwhile_counts_for_nothing() -> None:
    lab = Lab("a")
    lab.tests.tend(0.0)
    lab.tests.configure(types("a", command="other"))
    assert lab.trials["a"][0].broken_off
    lab.await_end()
    assert lab.tests.problem("a") == UNTESTED
    lab.tests.tend(0.0)
    lab.end("a")
    assert lab.tests.problem("a") is None


def test_a_test_that_goes_wrong_by_itself_closes_its_type(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab("a")
    lab.tests.tend(0.0)
    lab.end("a", "raise")
    assert lab.tests.problem("a") == "its start-up test could not be carried out: no more processes"


def test_a_failure_is_told_once_and_the_mending_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    lab = Lab("a", "b")
    lab.tests.tend(0.0)
    lab.end("b")
    lab.end("a", "no disk")
    lab.tests.tend(RETRY_SECONDS[0])
    lab.end("a", "no disk")
    lab.tests.tend(RETRY_SECONDS[0] + RETRY_SECONDS[1])
    lab.end("a")
    assert caplog.messages == [
        "agent type a: closed on this host, its start-up test has failed: no disk",
        "start-up tests: 1 of 2 agent types passed",
        "agent type a: open again: it has passed its start-up test now",
    ]


def test_after_the_end_nothing_is_begun_and_what_runs_is_broken_off() -> None:
    lab = Lab("a", "b", at_once=1)
    lab.tests.tend(0.0)
    lab.tests.stop()
    assert lab.trials["a"][0].broken_off
    lab.tests.tend(1.0)
    assert lab.counts() == {"a": 1}


def test_where_nothing_is_tested_everything_passes() -> None:
    tests = StartupTests(None, at_once=1)
    tests.configure(types("a", "b"))
    tests.tend(0.0)
    assert tests.problems() == {}


def offer_of(
    agent_types: dict[str, AgentType], host: Host, died: Callable[[str], float] = lambda name: 0.0
) -> Offer:
    offer = Offer(host, StartupTests(None, at_once=1), died)
    offer.configure(agent_types)
    return offer


def test_a_type_whose_agents_died_too_often_is_closed_with_a_reason_that_does_not_change() -> None:
    seconds = {"a": 120.0}
    offer = offer_of(types("a", "b"), Host("w1", 2), lambda name: seconds.get(name, 0.0))
    assert (offer.open(), offer.problems()) == (["b"], {"a": DIED})
    seconds["a"] = 60.0
    assert offer.problems() == {"a": DIED}
    seconds["a"] = 0.0
    assert (offer.open(), offer.problems()) == (["a", "b"], {})


def test_a_local_type_is_offered_on_localhost_only() -> None:
    local = {"near": AgentType("near", ("near",), Path("/agents"), special=frozenset({Special.LOCAL}))}
    assert offer_of(local | types("a"), Host("w1", 2)).open() == ["a"]
    assert offer_of(local | types("a"), Host("localhost", 2)).open() == ["a", "near"]


def test_a_host_without_slots_offers_nothing() -> None:
    assert offer_of(types("a"), Host("w1", 0)).open() == []


def test_a_drained_host_offers_nothing_for_that_reason() -> None:
    offer = offer_of(types("a"), Host("w1", 2))
    assert offer.why_closed("a") is None
    offer.close()
    assert (offer.open(), offer.why_closed("a")) == ([], DRAINED)
