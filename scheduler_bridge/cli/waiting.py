"""What commands do that may have to wait for their database at the start: where they log, and how they end."""

from __future__ import annotations

import logging
import signal
import sys

log = logging.getLogger(__name__)


def end_when_told(name: str) -> None:
    """From now on SIGTERM and Ctrl-C end this process at once, with status 0."""

    def end(*_: object) -> None:
        log.info("%s stopped.", name, extra={"action": "stopped"})
        sys.exit()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def log_to_stderr() -> None:
    """Plain lines; whoever collects them adds what else is wanted."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Whoever wants a connection says that there is none.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    logging.captureWarnings(True)
