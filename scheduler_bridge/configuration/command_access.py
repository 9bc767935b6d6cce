"""Where commands are taken and from whom: keys of [SCHEDULER] that FOSSology's own scheduler does not have.

Its port listened everywhere and asked nobody for anything; here that takes an explicit word.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scheduler_bridge.configuration.reader import Reader

GROUP = "SCHEDULER"


@dataclass(frozen=True, slots=True)
class CommandAccess:
    """As written; the settings read the texts."""

    address: str | None = None  # [FOSSOLOGY] address: where clients look for the scheduler
    bind: str | None = None
    token_file: Path | None = None
    trusted: str | None = None


def read_command_access(main: Reader) -> CommandAccess:
    """The keys as they stand."""
    token_file = main.text(GROUP, "token_file")
    return CommandAccess(
        main.text("FOSSOLOGY", "address"),
        main.text(GROUP, "bind"),
        Path(token_file) if token_file else None,
        main.text(GROUP, "trusted"),
    )
