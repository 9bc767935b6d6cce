"""Beat: keeps no file, says in one line that the broker takes nothing, and ends however often it is told to."""

from __future__ import annotations

import logging
import signal
from typing import Any

from celery import beat
from celery.signals import beat_init

from scheduler_bridge.dispatch.transport import BROKER_ERRORS

log = logging.getLogger(__name__)

TOLD_BY = (signal.SIGTERM, signal.SIGINT)

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


@beat_init.connect
def end_when_told(sender: Any, **_: Any) -> None:
    """In place of Celery's handler, which waits for itself when a second signal interrupts the first."""

    def end(*_: object) -> None:
        for number in TOLD_BY:
            signal.signal(number, signal.SIG_IGN)
        sender.stop()  # for the case that nothing but Python itself hears what is raised here
        raise SystemExit

    for number in TOLD_BY:
        signal.signal(number, end)
