"""What an agent tells about a job while it works: counts, texts and its own settings."""

from __future__ import annotations

from workers.grammar import LARGEST_ITEMS
from workers.job_log import JobLog
from workers.messages import (
    Email,
    FromAgent,
    Heart,
    Heartbeat,
    ItemsProcessed,
    Malformed,
    Special,
    Text,
    Version,
)
from workers.output import Output


class Report:
    """Written by the session's thread, read by any."""

    def __init__(self, log: JobLog | None = None) -> None:
        """`log` is the job's own, where there is a repository for it."""
        self.log = log
        self.items = 0
        self.email: str | None = None
        self.version: str | None = None
        self.special = 0  # bits the agent has set for itself
        self.output = Output()

    def note(self, sentence: str) -> None:
        """What has happened to the agent."""
        self.output.add(sentence)
        if self.log:
            self.log.note(sentence)

    def take(self, message: FromAgent) -> bool:
        """Remember what a message says; True if it shows progress."""
        match message:
            case Text(text):
                self._said(text, text)
            case Heart(items, alive):
                self.items = items
                return alive is True
            case ItemsProcessed(items):
                self.items = min(self.items + items, LARGEST_ITEMS)
                return True
            case Heartbeat():
                return True
            case Malformed(line, why):
                self._said(line, f"{line} ({why})")
            case Email(text):
                self.email = text
            case Version(text):
                self.version = text
            case Special(mask, value):
                self.special = self.special | mask if value else self.special & ~mask
        return False

    def _said(self, lines: str, shown: str) -> None:
        """What has no meaning in the protocol, word for word and as we show it."""
        self.output.add(shown)
        if self.log:
            self.log.agent_said(lines)
