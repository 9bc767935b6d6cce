"""kombu's Redis transport, guarded: nothing that lies in a list can end a worker or make it connect anew for ever.

Whoever reaches Redis can write to its lists, also by mistake. kombu decodes an entry and hands it on within the loop
that reads them: it takes a KeyError for a loss of the connection, after which it would put the message back and meet
it again, and every other error ends the worker. Here such an entry costs one line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from queue import Empty
from typing import Any

from kombu import Connection
from kombu import connection as kombu_connection
from kombu.exceptions import KombuError
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

log = logging.getLogger(__name__)

LARGEST_BYTES = 1_000_000  # of a message; the largest of ours, a chord's, has some ten thousand
SHOWN_CHARACTERS = 80
LONGEST_WAIT_SECONDS = 5.0  # between two attempts to reach the broker; 30 with Celery
WRONG_TYPE = "WRONGTYPE"

# Of the broker or the way to it; for whoever publishes or counts.
BROKER_ERRORS = (KombuError, OSError, RedisError)

Deliver = Callable[[Any], object]
KombuChannel: Any = kombu_redis.Channel  # its stubs lack what is changed here, as do those of the pool
KombuPooledConnection: Any = kombu_connection.PooledConnection
KombuConnectionPool: Any = kombu_connection.ConnectionPool


class Channel(KombuChannel):  # type: ignore[misc]  # untyped package
    """Drops, with one line in the log, what cannot be delivered."""

    def basic_consume(self, queue: str, *args: Any, **options: Any) -> Any:
        """As kombu's; what its callback raises about a message is the message's end."""
        tag = super().basic_consume(queue, *args, **options)
        callbacks = self.connection._callbacks
        callbacks[queue] = partial(self._deliver_guarded, callbacks[queue], queue)
        return tag

    def _create_client(self, asynchronous: bool = False) -> Any:
        client = super()._create_client(asynchronous)
        client.set_response_callback("BRPOP", drop_huge)
        return client

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (Empty, OSError, RedisConnectionError):
            raise
        except ResponseError as error:
            if not str(error).startswith(WRONG_TYPE):
                raise
            self._drop_keys_that_are_no_lists()
        except RedisError:
            raise
        except Exception as error:  # of what was popped: it is not JSON
            log_dropped("a queue", error)
        raise Empty

    def _receive_one(self, client: Any) -> Any:
        try:
            return super()._receive_one(client)
        except (Empty, OSError, RedisError):
            raise
        except Exception as error:
            log_dropped("a broadcast", error)
        raise Empty

    def _deliver_guarded(self, deliver: Deliver, queue: str, raw: Any) -> None:
        try:
            deliver(raw)
        except (OSError, RedisError):  # the broker, not the message
            raise
        except Exception as error:
            log_dropped(queue, error, raw)
            self._forget(raw)

    def _forget(self, raw: Any) -> None:
        """Count it no longer among the messages that wait for their acknowledgement."""
        tag = raw.get("properties", {}).get("delivery_tag") if is_envelope(raw) else None
        if isinstance(tag, str) and tag in self.qos._delivered:
            self.qos.ack(tag)

    def _drop_keys_that_are_no_lists(self) -> None:
        with self.conn_or_acquire() as client:
            for queue in list(self.active_queues):
                kind = client.type(queue)
                if kind not in (b"list", b"none"):
                    client.delete(queue)
                    log_dropped(queue, TypeError(f"it was a {kind.decode()}, not a list"))


class Transport(kombu_redis.Transport):
    """kombu's, with channels that are guarded."""

    Channel = Channel

    def _reject_inbound_message(self, raw: Any) -> None:
        """Put back what came for a queue that has just been closed; what cannot be put back is dropped."""
        try:
            super()._reject_inbound_message(raw)
        except (OSError, RedisError):
            raise
        except Exception as error:
            log_dropped("a queue that is closed", error, raw)


class TryingOnce(Connection):
    """What publishes through it fails with the broker; kombu's would connect anew for ever.

    That is a thread which neither its caller nor the end of the process gets back.
    """

    def ensure(self, *args: Any, **options: Any) -> Any:
        """Try as often as told, else once."""
        return super().ensure(*args, **{"max_retries": 0, **options})


class PooledConnection(TryingOnce, KombuPooledConnection):  # type: ignore[misc]  # untyped package
    """kombu's, trying once."""


class ConnectionPool(KombuConnectionPool):  # type: ignore[misc]  # untyped package
    """kombu's, of those."""

    def new(self) -> PooledConnection:
        """A copy of the pool's connection."""
        return PooledConnection(self, **dict(self.connection._info(resolve=False)))


class GuardedConnection(TryingOnce):
    """A connection by our transport, under the names and addresses of kombu's."""

    def get_transport_cls(self) -> type[Transport]:
        """Whatever the scheme: all that are possible are of Redis."""
        return Transport

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """Wait for the broker, asking more often than Celery does."""
        return super().ensure_connection(*args, **{"interval_max": LONGEST_WAIT_SECONDS, **options})

    def Pool(self, limit: int | None = None, **_: Any) -> Any:
        """Up to `limit` copies of this connection, which need no guard: they only publish."""
        return ConnectionPool(self, limit)


def drop_huge(response: Any, **_: Any) -> tuple[Any, Any] | None:
    """The answer to BRPOP; that nothing came where it was too large to look at."""
    if not response:
        return None
    queue, entry = response
    if len(entry) > LARGEST_BYTES:
        what = f"{len(entry)} bytes, {LARGEST_BYTES} at most"
        log_dropped(bytes(queue).decode("utf-8", "replace"), ValueError(what))
        return None
    return queue, entry


def is_envelope(raw: Any) -> bool:
    """Whether there are properties to ask."""
    return isinstance(raw, dict) and isinstance(raw.get("properties"), dict)


def log_dropped(queue: str, why: Exception | str, raw: Any = None) -> None:
    """One line about a message that nobody will see again."""
    reason = why if isinstance(why, str) else f"{type(why).__name__}: {why}"
    shown = "" if raw is None else f": {_shortened(repr(raw))}"
    line = " ".join(f"message from {queue} dropped: {_shortened(reason)}{shown}".split())
    log.error("%s", line, extra={"action": "message_dropped", "queue": queue})


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
