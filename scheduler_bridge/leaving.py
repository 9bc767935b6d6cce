"""The end of a process that waits for nobody any more. Everything but PostgreSQL is disposable: it loses nothing."""

from __future__ import annotations

import logging
import os
import sys

log = logging.getLogger(__name__)


def leave(why: str, status: int = 0) -> None:
    """End this process at once, saying that it stopped `why`, without waiting for any thread."""
    log.warning("stopped %s", why, extra={"action": "stopped_unheard"})
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
