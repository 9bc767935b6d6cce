"""Waits for what the database announces."""

from __future__ import annotations

from typing import Any

import psycopg

from scheduler_bridge.store.connecting import noticing_loss

CHANNEL = "scheduler_bridge"  # the trigger, `submit` and the bridges agree on it
ORDERS = "scheduler_bridge_orders"  # what people want of jobs, hosts and workers


class Listener:
    """A connection of its own that LISTENs; needs a session, so a transaction pooler will not do."""

    def __init__(self, url: str, channel: str = CHANNEL) -> None:
        self._url = url
        self._channel = channel
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, seconds: float) -> bool:
        """Wait for an announcement; whether one came. Connecting counts as one: announcements may have been missed.

        Raises psycopg.OperationalError when the database cannot be reached; the next call connects anew.
        """
        if self._connection is None:
            self._connection = psycopg.connect(noticing_loss(self._url), autocommit=True)
            self._connection.execute(f"listen {self._channel}")
            return True
        try:
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
        except psycopg.OperationalError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if any."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
