"""The versions of agents, as they tell them in their first line; remembered as long as this process runs."""

from __future__ import annotations

import logging
import threading

log = logging.getLogger(__name__)


class Versions:
    """By agent type; used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: dict[str, str] = {}

    def adopt(self, agent_type: str, version: str | None) -> None:
        """What a start-up test has found; None: agents of this type do not tell."""
        with self._lock:
            if version is not None:
                self._versions[agent_type] = version

    def note(self, agent_type: str, version: str | None) -> None:
        """What an agent at work has said: another version than before is adopted, with a warning."""
        if version is None:
            return
        with self._lock:
            before = self._versions.get(agent_type, version)
            self._versions[agent_type] = version
        if before != version:
            facts = {"action": "version_changed", "agent_type": agent_type, "version": version}
            log.warning("agent type %s: version %s, was %s", agent_type, version, before, extra=facts)

    def forget(self) -> None:
        """The configuration has been read again: whatever comes next is the first."""
        with self._lock:
            self._versions.clear()
