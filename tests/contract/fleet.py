"""What is configured in the tests of the store: agent types with and without limits, two hosts."""

from __future__ import annotations

from pathlib import Path

from scheduler_bridge.model.agents import AgentType, Host, Special
from scheduler_bridge.store.port import JobStore


def agent_type(name: str, maximum: int | None = None, special: Special | None = None) -> AgentType:
    """A configured agent type that no test starts."""
    return AgentType(name, (name,), Path(name), maximum, frozenset({special} if special else ()))


PLAIN = ("unpack", "license", "copyright", "report")
TYPES = (
    *map(agent_type, PLAIN),
    agent_type("single", maximum=1),
    agent_type("double", maximum=2),
    agent_type("alone", special=Special.EXCLUSIVE),
    agent_type("nearby", special=Special.LOCAL),
)
HOSTS = (Host("h1", 2), Host("h2", 3))


def configure(store: JobStore) -> None:
    """Agent types and hosts of the tests; each host runs everything and has just reported."""
    store.publish_configuration(TYPES, HOSTS)
    report(store)


def report(store: JobStore) -> None:
    """Every host reports."""
    for host in HOSTS:
        store.register_host(host, f"worker@{host.name}", [one.name for one in TYPES])
