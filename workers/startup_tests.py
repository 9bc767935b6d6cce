"""The start-up tests of this host: in the background, a few at a time, failed ones again later.

A host may be mended at any time, so a type that has failed is tested again after one, five and then every fifteen
minutes, and at once when the configuration is to be read again.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from scheduler_bridge.model.agents import AgentType

log = logging.getLogger(__name__)

UNTESTED = "its start-up test has not ended yet"
RETRY_SECONDS = (60.0, 300.0, 900.0)  # after the first, the second and every further failure
PATIENCE_SECONDS = 3.0  # a test that lasts longer waits for its agent, and leaves the processor to another


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Test(Protocol):
    """One test that is carried out once, in a thread of its own."""

    version: str | None

    def run(self) -> str | None:
        """None when the agent has passed, else one sentence why not."""

    def break_off(self) -> None:
        """End it at once; from any thread."""


@dataclass(slots=True, eq=False)
class _Standing:
    """What is known of one configured agent type."""

    agent_type: AgentType
    problem: str | None  # None: it has passed
    due_at: float = -math.inf  # the next test; infinite: none
    failures: int = 0
    test: Test | None = None  # the one under way
    began_at: float = math.inf


class StartupTests:
    """Used by the keeper, by the threads of the tests and by whoever asks; `now` is a steady clock in seconds."""

    def __init__(
        self,
        test_of: Callable[[AgentType], Test] | None,
        *,
        at_once: int,
        ended: Callable[[], None] = lambda: None,
        passed: Callable[[str, str | None], None] = lambda name, version: None,
    ) -> None:
        """`test_of` makes the test of a type; None: nothing is tested, and every type is taken to pass.

        `at_once`: tests that may use a processor at the same time. `ended` is called after each test, `passed` with a
        type and its version after each that was passed; both from the test's thread.
        """
        self._test_of = test_of
        self._at_once = at_once
        self._ended = ended
        self._passed = passed
        self._lock = threading.Lock()
        self._standings: dict[str, _Standing] = {}
        self._summed_up = True
        self._over = False

    def configure(self, agent_types: Mapping[str, AgentType]) -> None:
        """These are configured now: new and changed ones are to be tested, and those that have failed once more."""
        untested = None if self._test_of is None else UNTESTED
        due_at = math.inf if self._test_of is None else -math.inf
        with self._lock:
            before, self._standings = self._standings, {}
            for name, agent_type in sorted(agent_types.items()):
                known = before.get(name)
                if known is None or known.agent_type != agent_type:
                    self._standings[name] = _Standing(agent_type, untested, due_at)
                    self._summed_up = False
                else:
                    known.due_at = math.inf if known.problem is None or known.test else -math.inf
                    known.failures = 0
                    self._standings[name] = known
            kept = set(map(id, self._standings.values()))
            left = [one.test for one in before.values() if one.test and id(one) not in kept]
        for test in left:
            test.break_off()

    def problem(self, name: str) -> str | None:
        """Why no agent of this type may be started here; None: it may."""
        with self._lock:
            standing = self._standings.get(name)
            return standing.problem if standing else "it is not configured here"

    def problems(self) -> dict[str, str]:
        """Every configured agent type that may not be started, and why."""
        with self._lock:
            return {name: one.problem for name, one in self._standings.items() if one.problem is not None}

    @property
    def settled(self) -> bool:
        """Every type has been tested."""
        with self._lock:
            return not any(one.problem == UNTESTED for one in self._standings.values())

    def tend(self, now: float) -> None:
        """Start the tests that are due, as many as the processors allow."""
        with self._lock:
            if self._over or self._test_of is None:
                return
            running = sum(
                now - one.began_at < PATIENCE_SECONDS for one in self._standings.values() if one.test
            )
            due = [one for one in self._standings.values() if one.test is None and one.due_at <= now]
            starting = sorted(due, key=lambda one: one.due_at)[: max(0, self._at_once - running)]
            for one in starting:
                one.test, one.began_at, one.due_at = self._test_of(one.agent_type), now, math.inf
        for one in starting:
            threading.Thread(target=self._carry_out, args=(one,), name="start-up test", daemon=True).start()

    def stop(self) -> None:
        """Break off what runs; nothing more is started."""
        with self._lock:
            self._over = True
            running = [one.test for one in self._standings.values() if one.test]
        for test in running:
            test.break_off()

    def _carry_out(self, standing: _Standing) -> None:
        test = standing.test
        assert test is not None
        try:
            problem = test.run()
        except Exception as error:
            log.exception("a start-up test could not be carried out", extra={"action": "startup_test_broken"})
            problem = f"its start-up test could not be carried out: {error}"
        if problem is None:
            self._passed(standing.agent_type.name, test.version)
        with self._lock:
            if not self._over and standing in self._standings.values():
                self._note(standing, problem)
        self._ended()

    def _note(self, standing: _Standing, problem: str | None) -> None:
        before, standing.problem, standing.test = standing.problem, problem, None
        if problem is None:
            standing.failures = 0
            if before not in (None, UNTESTED):
                _tell(logging.INFO, standing, "open again: it has passed its start-up test now")
        else:
            wait = RETRY_SECONDS[min(standing.failures, len(RETRY_SECONDS) - 1)]
            standing.failures += 1
            standing.due_at = standing.began_at + wait
            if problem != before:
                _tell(
                    logging.WARNING, standing, f"closed on this host, its start-up test has failed: {problem}"
                )
        if not self._summed_up and not any(one.problem == UNTESTED for one in self._standings.values()):
            self._summed_up = True
            self._sum_up()

    def _sum_up(self) -> None:
        passed = sum(one.problem is None for one in self._standings.values())
        facts = {"action": "startup_tests_ended", "passed": passed}
        log.info("start-up tests: %d of %d agent types passed", passed, len(self._standings), extra=facts)


def _tell(level: int, standing: _Standing, sentence: str) -> None:
    facts = {"action": "startup_test", "agent_type": standing.agent_type.name}
    log.log(level, "agent type %s: %s", standing.agent_type.name, sentence, extra=facts)
