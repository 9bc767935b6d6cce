"""Which agent types this host can run now, and why not the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scheduler_bridge.model.agents import AgentType, Host, Special
from workers.startup_tests import StartupTests

LOCAL_HOST = "localhost"  # where LOCAL agents run, by name
DIED = "its agents have died too often, none is started for some minutes"
DRAINED = "the host is drained"


class Offer:
    """Asked by many threads, told by the keeper."""

    def __init__(self, host: Host, tests: StartupTests, seconds_until_start: Callable[[str], float]) -> None:
        """`seconds_until_start` tells for how long agents of a type may not be started because too many died."""
        self._host = host
        self._tests = tests
        self._seconds_until_start = seconds_until_start
        self._names: list[str] = []
        self._over = False

    def configure(self, agent_types: Mapping[str, AgentType]) -> None:
        """These are configured now; those that can never run on this host are left out."""
        local = self._host.name == LOCAL_HOST
        here = {
            name: agent_type
            for name, agent_type in agent_types.items()
            if self._host.slots and (local or Special.LOCAL not in agent_type.special)
        }
        self._tests.configure(here)
        self._names = sorted(here)

    @property
    def settled(self) -> bool:
        """It does not change from one moment to the next, as it does while a worker starts."""
        return self._tests.settled

    def tend(self, now: float) -> None:
        """Start the tests that are due."""
        self._tests.tend(now)

    def close(self) -> None:
        """Nothing more starts here."""
        self._over = True
        self._tests.stop()

    def open(self) -> list[str]:
        """The agent types that may be started now."""
        closed = self.problems()
        return [] if self._over else [name for name in self._names if name not in closed]

    def problems(self) -> dict[str, str]:
        """The agent types that may not, each with a sentence that stays the same as long as its reason does."""
        died = {name: DIED for name in self._names if self._seconds_until_start(name)}
        return died | self._tests.problems()

    def why_closed(self, name: str) -> str | None:
        """Why no agent of this type is to be started; None: one may, unless too many have died."""
        return DRAINED if self._over else self._tests.problem(name)
