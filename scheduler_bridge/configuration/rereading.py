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
