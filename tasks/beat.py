"""Beat's scheduler: keeps no file, and says in one line that the broker takes nothing."""

from __future__ import annotations

import logging
from typing import Any

from celery import beat

from scheduler_bridge.dispatch.transport import BROKER_ERRORS

log = logging.getLogger(__name__)

InMemory: Any = beat.Scheduler  # its package is untyped


class Scheduler(InMemory):  # type: ignore[misc]  # see above
    """Celery's without a file: what is due is asked for again after its interval, whatever became of it."""

    def apply_async(self, entry: Any, *args: Any, **options: Any) -> Any:
        """As Celery's, which shows a traceback for whatever fails; None when the broker took no message."""
        try:
            return super().apply_async(entry, *args, **options)
        except beat.SchedulingError as error:
            reason = error.__context__
            if not isinstance(reason, BROKER_ERRORS):
                raise
            sentence = "%s is not asked for: the broker took no message: %s"
            log.warning(sentence, entry.name, reason, extra={"action": "broker_away"})
            return None
