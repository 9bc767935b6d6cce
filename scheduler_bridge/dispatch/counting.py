"""The result backend, which counts the members of chords and is asked for nothing else."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from celery.backends.redis import RedisBackend
from redis import Redis
from redis.client import Pipeline

from scheduler_bridge.dispatch.quiet import Quiet
from scheduler_bridge.dispatch.transport import BROKER_ERRORS

log = logging.getLogger(__name__)

# Their stubs lack what is changed here.
Backend: Any = RedisBackend
Client: Any = Redis


class Impatient(Protocol):
    """An application that leaves a silent broker alone for a moment."""

    quiet: Quiet


class QuietPipeline(Pipeline):
    """redis-py's, which respects the quiet of its application."""

    quiet: Quiet

    def execute(self, *args: Any, **options: Any) -> Any:
        """As redis-py's. Raises BrokerSilent."""
        with self.quiet.respected():
            return super().execute(*args, **options)


class QuietClient(Client):  # type: ignore[misc]  # untyped package
    """The result backend's client, which respects the quiet of its application."""

    quiet: Quiet

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's. Raises BrokerSilent."""
        with self.quiet.respected():
            return super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> QuietPipeline:
        """As redis-py's."""
        made = QuietPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        made.quiet = self.quiet
        return made


class CountingBackend(Backend):  # type: ignore[misc]  # untyped package
    """Redis as the counter of chord members and nothing else: no result is awaited, so none is subscribed to."""

    app: Impatient

    def _create_client(self, **parameters: Any) -> QuietClient:
        client = QuietClient(connection_pool=self._get_pool(**parameters))
        client.quiet = self.app.quiet
        return client

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Celery would subscribe to each published task's result here: two commands and a connection a task."""

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:
        """The same for each member of a published chord."""
        return result

    def remove_pending_result(self, result: Any) -> Any:
        """Nothing was subscribed to."""
        return result

    def on_chord_part_return(
        self, request: Any, state: Any, result: Any, propagate: bool | None = None, **options: Any
    ) -> None:
        """Count; a broker that does not answer costs the chord its body, for which the sweep stands in."""
        try:
            super().on_chord_part_return(request, state, result, propagate, **options)
        except BROKER_ERRORS as error:
            log.warning("a chord is left to the sweep: %s", error, extra={"action": "chord_lost"})

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """Celery would store a failure of the body, and call for errbacks that nobody has given."""
        return exc
