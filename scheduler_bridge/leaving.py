"""The end of a process that waits for nobody any more. Everything but PostgreSQL is disposable: it loses nothing."""

from __future__ import annotations

import logging
import os
import sys
import threading

log = logging.getLogger(__name__)

SAY_SECONDS = 1.0  # nobody may read what this process writes


def leave(why: str, status: int = 0) -> None:
    """End this process at once, saying that it stopped `why`, without waiting for any thread."""
    try:
        speaker = threading.Thread(target=_say, args=(why,), daemon=True)
        speaker.start()
        speaker.join(SAY_SECONDS)
    finally:
        os._exit(status)


def _say(why: str) -> None:
    log.warning("stopped %s", why, extra={"action": "stopped_unheard"})
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it was closed before this process began
            stream.flush()
