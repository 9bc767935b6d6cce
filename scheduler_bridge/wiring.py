"""What every process begins with: its settings, the addresses, and a database that can be reached.

Most commands need no more than this, so nothing here imports Celery, which takes half a second.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import psycopg

from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.configuration.identity import identity_problems
from scheduler_bridge.configuration.masking import masked
from scheduler_bridge.embedded import ADDRESSES, announced
from scheduler_bridge.errors import SettingsError
from scheduler_bridge.migrate import check_schema
from scheduler_bridge.servers import LOOPBACK, listens
from scheduler_bridge.settings import Settings, config_folder

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

CONNECT_SECONDS = 5
LOOK_SECONDS = 0.5  # between two attempts to reach a database that is down at the start
# What a server says while it stops, crashes and starts: admin_shutdown, crash_shutdown, cannot_connect_now.
STOPPING_STATES = ("57P01", "57P02", "57P03")
CONNECTION_STATES = "08"
# Refusals that waiting does not mend, in the words of libpq and of a server that speaks English: libpq tells no code
# before a session has begun. In other languages they are waited for, with the reason in the log.
LASTING = re.compile(
    'password authentication failed|no password supplied|(database|role) ".*" does not exist|is bad: invalid '
)


def read_settings(**options: object) -> tuple[Settings, Configuration | None]:
    """Settings of this process from options, environment and configuration folder. Raises SettingsError."""
    folder = config_folder(options, os.environ)
    configuration = Configuration.read(folder) if folder else None
    settings = Settings.read(options, os.environ, configuration, hostname=socket.gethostname())
    if configuration:
        settings = replace(settings, warnings=(*settings.warnings, *identity_problems(configuration)))
    return settings, configuration


def look_at_database(settings: Settings) -> None:
    """Raise SchemaError when the database is not at this version, psycopg.OperationalError when it is away.

    SettingsError: it cannot be asked with this address.
    """
    try:
        with psycopg.connect(database_url(settings), connect_timeout=CONNECT_SECONDS) as connection:
            check_schema(connection)
    except psycopg.ProgrammingError as error:
        raise SettingsError(f"the database cannot be used: {' '.join(str(error).split())}") from error


def is_outage(error: psycopg.OperationalError) -> bool:
    """Whether the server was away. A deadlock or a cancelled statement is the answer of one that is there."""
    state = error.sqlstate  # None: of libpq, or of a pool that has found no connection in time
    return state is None or state.startswith(CONNECTION_STATES) or state in STOPPING_STATES


def once_there(
    url: str,
    work: Callable[[], Answer],
    *,
    pause: Callable[[float], object] = time.sleep,
) -> Answer:
    """The answer of `work` once the database can be reached; again from its beginning when it goes away meanwhile.

    Says once for each reason what it waits for, and once that it need not wait any more. `pause(seconds)` between two
    attempts may raise to end the waiting. Raises SettingsError where the database refuses us for good, and whatever
    else `work` raises.
    """
    told: set[str] = set()
    while True:
        try:
            psycopg.connect(url, connect_timeout=CONNECT_SECONDS).close()
            if told:
                log.info("the database can be reached", extra={"action": "database_back"})
                told.clear()
            return work()
        except psycopg.OperationalError as error:
            if not is_outage(error):
                raise
            _tell_of_waiting(error, told)
        pause(LOOK_SECONDS)


def _tell_of_waiting(error: psycopg.OperationalError, told: set[str]) -> None:
    """One line, unless the reason is among those told already. Raises SettingsError where waiting is of no use."""
    reason = " ".join(str(error).split())
    if LASTING.search(reason):
        raise SettingsError(f"the database cannot be used: {reason}") from error
    if reason not in told:
        sentence = "waiting to start: the database cannot be reached: %s"
        log.warning(sentence, reason, extra={"action": "database_away"})
    told.add(reason)


def database_url(settings: Settings) -> str:
    """The database's address, also of one that `up` runs here. Raises SettingsError where there is none."""
    return _address(settings.database_url, settings, "DATABASE_URL")


def redis_url(settings: Settings) -> str:
    """The broker's address, also of one that `up` runs here. Raises SettingsError where there is none."""
    return _address(settings.redis_url, settings, "REDIS_URL")


def repository_folder(settings: Settings) -> Path:
    """Where agents keep files, absolute: as configured, else below the state folder."""
    return (settings.repository_folder or settings.state_folder / "files").resolve()


def _address(given: str | None, settings: Settings, variable: str) -> str:
    if given:
        return given
    state = settings.state_folder
    url = announced(state).get(variable)
    if url is None:
        raise SettingsError(
            f"{variable} is not set and nothing runs in {state}: set it, or start `scheduler-bridge up`"
        )
    parts = urlsplit(url)
    if (
        parts.hostname == LOOPBACK and parts.port and not listens(parts.port)
    ):  # left by a run that was SIGKILLed
        raise SettingsError(
            f"nothing answers at {masked(url)}, which {state / ADDRESSES} names: start `scheduler-bridge up`"
        )
    return url
