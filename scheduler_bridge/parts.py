"""The one place where store, publisher and the objects above them are built and handed down."""

from __future__ import annotations

import os
from dataclasses import dataclass

from scheduler_bridge.bridge import Bridge
from scheduler_bridge.dispatch.application import BridgeCelery
from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.migrate import check_schema
from scheduler_bridge.model.mark import named_with_life
from scheduler_bridge.orphans import life_of
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.settings import Settings
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.sweep import Sweep
from scheduler_bridge.wiring import database_url


@dataclass(frozen=True, slots=True)
class Parts:
    """What a process of the project works with."""

    store: PostgresStore
    publisher: Publisher
    proposals: Proposals
    bridge: Bridge
    sweep: Sweep


def owner_name(role: str, host: str) -> str:
    """Names this process in the rows: ROLE@HOST.PID, and what tells it from later ones where that can be known."""
    life = life_of(os.getpid())
    name = f"{role}@{host}"
    return named_with_life(name, life) if life else f"{name}.{os.getpid()}"


def open_store(settings: Settings) -> PostgresStore:
    """The store, once the schema is found to be this version's. Raises SchemaError, SettingsError."""
    store = PostgresStore(
        database_url(settings), lease_seconds=settings.lease_seconds, window=settings.window
    )
    try:
        with store.connection() as connection:
            check_schema(connection)
    except Exception:
        store.close()
        raise
    return store


def build(settings: Settings, app: BridgeCelery, role: str) -> Parts:
    """Everything that a bridge, a worker or housekeeping needs."""
    store = open_store(settings)
    publisher = Publisher(app)
    proposals = Proposals(store, publisher)
    bridge = Bridge(store, proposals, owner=owner_name(role, settings.host))
    sweep = Sweep(store, bridge, proposals, interval_seconds=settings.sweep_seconds)
    return Parts(store, publisher, proposals, bridge, sweep)
