"""Housekeeping that is told to end as it begins with a task, and whose mail server takes its time.

`celery -A tests.integration.late worker -Q housekeeping`
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from celery.signals import task_prerun

import tasks.housekeeping
from scheduler_bridge.dispatch.routes import SEND_MAILS
from tasks.app import app

BEGUN_SECONDS = 0.1  # in which the end of the worker begins
MAIL_SECONDS = 6.0  # longer than a worker that has nothing more to do waits for its main thread

__all__ = ["app"]


class SlowPostman:
    """Says when it has sent its mail."""

    email = None

    def deliver_due(self, outbox: object) -> int:
        """One mail."""
        time.sleep(MAIL_SECONDS)
        print("the mail is sent", flush=True)
        return 1


tasks.housekeeping.postman = SlowPostman  # type: ignore[assignment]


@task_prerun.connect
def tell(task: Any, **_: Any) -> None:
    """The task has been received, and is not yet counted among those that are under way."""
    if task.name == SEND_MAILS:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(BEGUN_SECONDS)
