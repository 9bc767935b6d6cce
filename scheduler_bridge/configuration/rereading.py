"""The configuration folder read once more while processes run."""

from __future__ import annotations

import logging
from pathlib import Path

from scheduler_bridge.configuration.folder import Configuration

log = logging.getLogger(__name__)


def read_again(folder: Path) -> Configuration | None:
    """The folder as it is now, with a line in the log for each problem; None: the old configuration must stay."""
    found = Configuration.read(folder)
    for problem in found.problems:
        log.warning("%s", problem, extra={"action": "configuration_problem"})
    if found.errors:
        log.error("the configuration stays as it was", extra={"action": "not_reloaded"})
        return None
    count = len(found.agent_types)
    log.info("the configuration was read again: %d agent types", count, extra={"action": "reloaded"})
    return found


class Rereading:
    """Reads a folder again when that was asked for; for one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # None: nobody knows what was asked for since this process has read it.
        self._reloads: int | None = None

    def follow(self, reloads: int) -> Configuration | None:
        """The folder as it is, at the first call and when `reloads` has changed; None: what is known stays."""
        known, self._reloads = self._reloads, reloads
        return None if reloads == known else read_again(self._folder)
