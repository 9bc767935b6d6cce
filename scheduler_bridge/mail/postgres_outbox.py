"""The outbox in our schema; the sweep puts a mail there when it closes a stream."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scheduler_bridge.mail.facts import Facts
from scheduler_bridge.mail.message import StreamFacts
from scheduler_bridge.mail.outbox import LEASE_SECONDS, DueMail
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.store.queries import read_queries

QUERIES = read_queries(Path(__file__).with_name("outbox.sql"))


class PostgresOutbox:
    """An Outbox over the store's connections."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def is_due(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._rows("is_due")[0][0])

    def reloads(self) -> int:
        """How often the configuration was to be read again."""
        return int(self._rows("reloads")[0][0])

    def take(self) -> DueMail | None:
        found = self._rows("take", lease=LEASE_SECONDS)
        return DueMail(*found[0]) if found else None

    def facts(self, mail: DueMail) -> StreamFacts | None:
        (about,) = self._rows("about", id=mail.id)
        with self._store.connection() as connection:
            return Facts(connection).stream(mail.stream, message=about[0], since=about[1])

    def smtp(self) -> Mapping[str, str]:
        with self._store.connection() as connection:
            return Facts(connection).smtp()

    def sent(self, mail: DueMail) -> None:
        self._rows("sent", id=mail.id)

    def failed(self, mail: DueMail, reason: str, retry_seconds: float | None) -> None:
        self._rows("failed", id=mail.id, tries=mail.tries, reason=reason, seconds=retry_seconds)

    def _rows(self, query: str, **values: Any) -> list[Any]:
        with self._store.connection() as connection:
            return connection.execute(QUERIES[query], values or None).fetchall()
