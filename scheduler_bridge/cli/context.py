"""What most commands share: the settings that their options lead to, and a connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import psycopg

from scheduler_bridge.cli.options import Options
from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.errors import BridgeError, SchemaError
from scheduler_bridge.migrate import check_schema
from scheduler_bridge.settings import Settings, config_folder
from scheduler_bridge.store.reading import Reading
from scheduler_bridge.wiring import database_url, read_settings

CONNECT_SECONDS = 10
HIGHEST_NUMBER = 2**31 - 1  # keys of the queue's tables are int4
DEMONSTRATION = Path("deploy", "conf")


class RowNumber(click.IntRange):
    """The number of a job or a stream; of one that is too large for a row there can be none."""

    def __init__(self, what: str) -> None:
        super().__init__(min=1)
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Raises BridgeError where no row can have the number."""
        number: int = super().convert(value, param, ctx)
        if number > HIGHEST_NUMBER:
            raise BridgeError(f"there is no {self._what} {number}")
        return number


def settings_of(options: Options) -> tuple[Settings, Configuration | None]:
    """Settings of this process and the configuration folder they rest on. Raises SettingsError."""
    return read_settings(**options.given())


def with_demonstration(options: Options) -> Options:
    """These, with the folder that comes with the project where none is named at all."""
    if config_folder(options.given(), os.environ):
        return options
    return Options(shipped(DEMONSTRATION), options.database_url, options.redis_url)


@contextmanager
def queue_of(options: Options) -> Iterator[psycopg.Connection[Any]]:
    """The database in autocommit mode, once it has the queue and our schema. Raises BridgeError."""
    with connected(database_url(settings_of(options)[0])) as connection:
        require_queue(connection)
        check_schema(connection)
        yield connection


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection in autocommit mode that closes in the end."""
    with psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
        yield connection


def look_at_queue(url: str) -> None:
    """Raise SchemaError where the queue's tables are missing, psycopg.OperationalError when the database is away."""
    with connected(url) as connection:
        require_queue(connection)


def require_queue(connection: psycopg.Connection[Any]) -> None:
    """Raise SchemaError where the queue's tables are missing."""
    missing = Reading(connection).missing_tables()
    if missing:
        raise SchemaError(
            f"the database has no table {', '.join(missing)}: name FOSSology's database, or make the queue's"
            " tables with `scheduler-bridge migrate --create-queue`"
        )


def shipped(path: Path) -> Path:
    """A file that comes with the project: beside the packages in a checkout, inside ours in a wheel."""
    package = Path(__file__).parents[1]
    beside = package.parent / path
    return beside if beside.exists() else package / path
