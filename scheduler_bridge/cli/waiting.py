"""Waiting for a database that is not there yet, for commands that may be started before it."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from scheduler_bridge.cli.context import require_queue
from scheduler_bridge.service import is_outage
from scheduler_bridge.wiring import CONNECT_SECONDS, LOOK_SECONDS, await_database

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


def await_queue(url: str) -> bool:
    """Wait until the database can be reached; whether that took any waiting.

    Raises SchemaError where it lacks the queue's tables, SettingsError where it refuses us for good.
    """

    def look() -> None:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            require_queue(connection)

    return await_database(look, time.sleep)


def once_there(url: str, work: Callable[[], Answer]) -> Answer:
    """The answer of `work` once the database can be reached; again from its beginning when it goes away meanwhile.

    Raises SettingsError where the database refuses us for good, and whatever else `work` raises.
    """

    def look() -> None:
        psycopg.connect(url, connect_timeout=CONNECT_SECONDS).close()

    while True:
        await_database(look, time.sleep)
        try:
            return work()
        except psycopg.OperationalError as error:
            if not is_outage(error):
                raise
        time.sleep(LOOK_SECONDS)


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
