"""The one place where store, publisher and the objects above them are built and handed down."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from scheduler_bridge.bridge import Bridge
from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.dispatch.application import BridgeCelery
from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.embedded import announced
from scheduler_bridge.errors import SettingsError
from scheduler_bridge.migrate import check_schema
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.settings import Settings, config_folder
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.sweep import Sweep


@dataclass(frozen=True, slots=True)
class Parts:
    """What a process of the project works with."""

    store: PostgresStore
    publisher: Publisher
    proposals: Proposals
    bridge: Bridge
    sweep: Sweep


def read_settings(**options: object) -> tuple[Settings, Configuration | None]:
    """Settings of this process from options, environment and configuration folder. Raises SettingsError."""
    folder = config_folder(options, os.environ)
    configuration = Configuration.read(folder) if folder else None
    return Settings.read(options, os.environ, configuration, hostname=socket.gethostname()), configuration


def owner_name(role: str, host: str) -> str:
    """Names this process in the rows; a process that follows with the same number is another owner."""
    return f"{role}@{host}.{os.getpid()}"


def open_store(settings: Settings) -> PostgresStore:
    """The store, once the schema is found to be this version's. Raises SchemaError, SettingsError."""
    store = PostgresStore(
        database_url(settings), lease_seconds=settings.lease_seconds, window=settings.window
    )
    with store.connection() as connection:
        check_schema(connection)
    return store


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
    url = given or announced(settings.state_folder).get(variable)
    if url is None:
        state = settings.state_folder
        raise SettingsError(
            f"{variable} is not set and nothing runs in {state}: set it, or start `scheduler-bridge up`"
        )
    return url


def build(settings: Settings, app: BridgeCelery, role: str) -> Parts:
    """Everything that a bridge, a worker or housekeeping needs."""
    store = open_store(settings)
    publisher = Publisher(app)
    proposals = Proposals(store, publisher)
    bridge = Bridge(store, proposals, owner=owner_name(role, settings.host))
    sweep = Sweep(store, bridge, proposals, interval_seconds=settings.sweep_seconds)
    return Parts(store, publisher, proposals, bridge, sweep)
